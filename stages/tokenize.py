"""Encode a corpus with a model's tokenizer, once for all lengths: `python -m stages.tokenize NAME`.

Reads data/texts/CORPUS and data/bases/MODEL, writes data/tokens/NAME (see text/tokens.py).
"""

from pathlib import Path

from reformer_seqlen.parameters.common.quantities import SPLITS
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.tokens import TokenSet
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import BASES, TEXTS, TOKENS
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.tokens import load_tokenizer


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


def main(name: str) -> None:
    """Encode a token set."""
    item = known("tokens", read_section("tokens", dict[str, TokenSet]), name)
    tokenize(item, TOKENS / name)


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "tokens")
