"""Cut a run's windows: `python -m stages.chunk RUN`.

Reads data/tokens/CORPUS-MODEL, writes data/windows/RUN: an index of windows a split, and
report.json, which says how many tokens each policy keeps and drops.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import get_args

from stages.study.console import run
from stages.study.layout import TOKENS, WINDOWS
from stages.study.outputs import whole_folder, write_json
from stages.study.params import SPLITS, Params, Policy, known, load_params
from stages.text.tokens import load_tokens
from stages.text.windows import cut, kept, refuse_empty, save_windows


def chunk(name: str, params: Params, target: Path) -> None:
    """Write the windows of a run to `target`."""
    item, policy = params.runs[name], params.training(name).policy
    length = item.sequence_length
    report: dict[str, object] = {"run": name, "policy": policy, "sequence_length": length}
    with whole_folder(target) as folder:
        for split in SPLITS:
            tokens = load_tokens(TOKENS / f"{item.corpus}-{item.model}", split)
            counts: dict[str, object] = {"tokens": len(tokens)}
            for each in get_args(Policy):
                windows = cut(each, tokens.rows, len(tokens), length, every_token=split != "train")
                counts[each] = kept(each, windows, len(tokens), length)
                if each == policy:
                    refuse_empty(windows, name, split, len(tokens), length)
                    save_windows(folder / f"{split}.npy", windows)
            report[split] = counts
        write_json(folder / "report.json", report)


def main() -> None:
    """Cut the windows of the run named on the command line."""
    parser = ArgumentParser(prog="python -m stages.chunk", description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    known("runs", params.runs, name)
    chunk(name, params, WINDOWS / name)


if __name__ == "__main__":
    run(main)
