"""Write what git keeps of the study: `python -m stages.report`."""

from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.reporting.report import write_report


def main() -> None:
    """Write the report."""
    study = load_study()
    write_report(study)
    print(f"reported {len(study.runs)} runs and {len(study.memory.rows)} memory rows")


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run

    run(main)
