"""Encode a corpus with a model's tokenizer, once for all lengths: `python -m stages.tokenize NAME`.

Reads data/texts/CORPUS and data/bases/MODEL, writes data/tokens/NAME (see stages/text/tokens.py).
"""

from argparse import ArgumentParser
from pathlib import Path

from stages.study.console import run
from stages.study.layout import BASES, TEXTS, TOKENS
from stages.study.outputs import whole_folder, write_json
from stages.study.params import SPLITS, TokenSet, known, load_params
from stages.text.tokens import load_tokenizer, write_tokens


def tokenize(item: TokenSet, target: Path) -> None:
    """Encode the three splits of a corpus into `target`."""
    tokenizer = load_tokenizer(BASES / item.model)
    with whole_folder(target) as folder:
        splits = {
            split: write_tokens(
                tokenizer, TEXTS / item.corpus, split, folder, item.encoding, item.row_shape
            )
            for split in SPLITS
        }
        record = {"corpus": item.corpus, "model": item.model, "pieces": tokenizer.vocab_size()}
        write_json(folder / "tokens.json", {**record, "splits": splits})


def main() -> None:
    """Encode the token set named on the command line."""
    parser = ArgumentParser(prog="python -m stages.tokenize", description=__doc__)
    parser.add_argument("tokens", help="a key of `tokens` in params.yaml")
    name = parser.parse_args().tokens
    tokenize(known("tokens", load_params().tokens, name), TOKENS / name)


if __name__ == "__main__":
    run(main)
