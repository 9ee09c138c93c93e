"""Encode a corpus with a model's tokenizer, once for all lengths: `python -m stages.tokenize NAME`.

Reads data/texts/CORPUS and data/tokenizers/MODEL, writes data/tokens/NAME (see text/tokens.py):
the arrays, and tokens.json, which also says how many words a text of words has. Goes on from
finished blocks in work/tokenize/NAME if it was interrupted.
"""

from pathlib import Path
from typing import Any

from reformer_seqlen.parameters.common.quantities import SPLITS
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.tokens import TokenSet
from reformer_seqlen.runtime.checkpoints import fingerprint, work_folder
from reformer_seqlen.runtime.files import read_json, whole_folder, write_json
from reformer_seqlen.runtime.messages import text as messages
from reformer_seqlen.runtime.paths import TEXTS, TOKENIZERS, TOKENS
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.tokenizers import load_tokenizer


def tokenize(name: str, item: TokenSet, target: Path) -> None:
    """Encode the three splits of a corpus into `target`."""
    tokenizer = load_tokenizer(TOKENIZERS / item.model, item.encoding)
    prefix = tokenizer.document_prefix if item.document_prefix else ()
    if item.document_prefix and not prefix:
        raise messages.no_document_prefix(name, item.model)
    text = TEXTS / item.corpus
    sizes = read_json(text / "source.json")["splits"]
    values, code = item.model_dump(), Path(__file__)
    inputs = [*text.iterdir(), *(TOKENIZERS / item.model).iterdir()]
    with (
        work_folder("tokenize", name, fingerprint(values, inputs, code)) as work,
        whole_folder(target) as folder,
    ):
        splits: dict[str, dict[str, Any]] = {}
        for split in SPLITS:
            counts = write_tokens(
                tokenizer, text, split, folder, item.row_shape, prefix=prefix, shards=work / split
            )
            if counts["unknown"]:
                print(messages.unknown_pieces(f"tokens.{name}", split, counts))
            words = {key: size for key, size in sizes[split].items() if key == "words"}
            splits[split] = {**counts, **words}
        record = {
            "corpus": item.corpus,
            "model": item.model,
            "pieces": tokenizer.vocabulary,
            "unknown_id": tokenizer.unknown_id,
        }
        write_json(folder / "tokens.json", {**record, "splits": splits})


def main(name: str) -> None:
    """Encode a token set."""
    item = known("tokens", read_section("tokens", dict[str, TokenSet]), name)
    tokenize(name, item, TOKENS / name)


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "tokens")
