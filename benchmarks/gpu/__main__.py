"""Prove, measure and profile on a GPU: `python -m benchmarks.gpu`, in at most 6 minutes.

Writes results/gpu/CARD: a JSON file for each part, and tables.md. The parts, in this order:
correctness, speed, profile, memory, training; each in a process of its own with a time limit, so
that one that fails or hangs leaves the others. Without CUDA it says so and writes nothing.

It needs torch with CUDA, transformers, safetensors, sentencepiece and numpy, and no installation of
this project. It ends with status 1 if a part did not end well or a result is wrong.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.gpu.card import ROOT, describe, folder_name
from benchmarks.gpu.isolation import isolated
from benchmarks.gpu.parts import PARTS, run_parts
from reformer_seqlen.reporting.gpu import read_card, summary
from reformer_seqlen.reporting.gpu_tables import card_tables
from reformer_seqlen.reporting.table import Table
from reformer_seqlen.runtime import console, process
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import whole_file
from reformer_seqlen.runtime.paths import GPU_RESULTS, WORK

LOOKING_SECONDS = 60.0
SECONDS = sum(part.limit_seconds for part in PARTS.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all parts, or the one that is named.

    Raises:
        StudyError: the card can't be asked, or a part did not end well.
    """
    options = _parser().parse_args(arguments)
    looked = isolated(partial(describe, options.device), LOOKING_SECONDS)
    if looked.why is not None:
        raise StudyError(f"the GPU can't be asked what it is: {looked.why}")
    if looked.value is None:
        print("no GPU with CUDA is here: nothing was measured (--device cpu tries tiny sizes)")
        return
    head = looked.value
    here = GPU_RESULTS / folder_name(head["card"]) if options.device == "cuda" else WORK / "gpu"
    folder = options.out or ROOT / here
    parts = {options.part: PARTS[options.part]} if options.part else PARTS
    right = run_parts(parts, options.device, folder, head, SECONDS)
    write_tables(folder)
    wrong = [name for name, good in right.items() if not good]
    if wrong:
        raise StudyError(f"{', '.join(wrong)}: see {folder}/tables.md and the files beside it")


def write_tables(folder: Path) -> None:
    """Write the tables of all parts whose results are in a folder, and print them."""
    card = read_card(folder)
    tables = [markdown(table) for table in card_tables(card) if table.rows]
    text = "\n\n".join([summary([card]), *tables]) + "\n"
    with whole_file(folder / "tables.md") as partial_file:
        partial_file.write_text(text, encoding="utf-8")
    print(text)


def markdown(table: Table) -> str:
    """A table as Markdown, without the library that aligns its columns elsewhere."""
    lines = [table.headers, ["---"] * len(table.headers), *table.rows]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join(filter(None, [f"## {table.title}", table.intro, drawn]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", choices=list(PARTS), help="one part alone, with all the time")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument(
        "--out", type=Path, help=f"folder (default: {GPU_RESULTS}/CARD; of a CPU {WORK}/gpu)"
    )
    return parser


if __name__ == "__main__":
    process.imported()
    console.run(main)
