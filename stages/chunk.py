"""Cut a run's windows: `python -m stages.chunk RUN`.

Reads data/tokens/CORPUS-MODEL, writes data/windows/RUN: an index of windows a split, and
report.json, which says how they are cut and how many tokens each policy keeps and drops.
"""

from pathlib import Path
from typing import get_args

from reformer_seqlen.parameters.chunking import Chunking
from reformer_seqlen.parameters.common.quantities import SPLITS, Policy
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.runs import Run, overridden
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import TOKENS, WINDOWS
from reformer_seqlen.text.chunking import cut, kept, refuse_empty
from reformer_seqlen.text.tokens import load_tokens
from reformer_seqlen.text.windows import save_windows


def chunk(name: str, run: Run, policy: Policy, target: Path) -> None:
    """Write the windows of a run to `target`."""
    length = run.sequence_length
    report: dict[str, object] = {"run": name, "policy": policy, "sequence_length": length}
    with whole_folder(target) as folder:
        for split in SPLITS:
            tokens = load_tokens(TOKENS / f"{run.corpus}-{run.model}", split)
            counts: dict[str, object] = {"tokens": len(tokens)}
            for each in get_args(Policy):
                windows = cut(each, tokens.rows, len(tokens), length, every_token=split != "train")
                counts[each] = kept(each, windows, len(tokens), length)
                if each == policy:
                    if split != "train" or run.is_trained:
                        refuse_empty(windows, f"runs.{name}", split, len(tokens), length)
                    save_windows(folder / f"{split}.npy", windows)
            report[split] = counts
        write_json(folder / "report.json", report)


def main(name: str) -> None:
    """Cut the windows of a run."""
    run = known("runs", read_section("runs", dict[str, Run]), name)
    chunking = overridden(read_section("chunk", Chunking), run.chunk, f"runs.{name}.chunk")
    chunk(name, run, chunking.policy, WINDOWS / name)


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "runs")
