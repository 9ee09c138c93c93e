"""Run a study's stages in one process and the working folder: `python -m tests.in_process`.

It saves the start of a Python process for each stage. DVC runs nothing here; `dvc commit` records
the results as those of its stages.
"""

from importlib import import_module

from reformer_seqlen.parameters.common.reading import read_values

SECTIONS = {
    "download": "corpora",
    "pretrain": "models",
    "tokenize": "tokens",
    "count": "counts",
    "chunk": "runs",
    "finetune": "runs",
    "evaluate": "runs",
}
"""Of params.yaml: each of its items is a stage."""


def main() -> None:
    """Run all stages, one after another."""
    values = read_values()
    for stage, section in SECTIONS.items():
        work = import_module(f"stages.{stage}").main
        for name in values.get(section, {}):  # `counts` may be left out
            work(name)
    for stage in ("benchmark_memory", "report"):
        import_module(f"stages.{stage}").main()


if __name__ == "__main__":
    main()
