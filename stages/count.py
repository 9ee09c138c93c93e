"""Count n-grams and score them on validation and test: `python -m stages.count NAME`.

Reads data/tokens/CORPUS-MODEL and, for `text: all`, data/base_tokens/MODEL. Writes
data/counts/NAME: scores.json, with the fields that a run's score has; and SPLIT.nats.npy, float32,
the loss in nats of each scored token in the order of the text, and SPLIT.blocks.npy, their sums
over blocks of text. Those are the targets of every run
whose windows are contiguous: all tokens of a split but the first. data/timings/count/NAME.json says
how long it took, where and by which code.
"""

import time

import numpy as np

from reformer_seqlen.counting.kneser_ney import nats, train
from reformer_seqlen.counting.ngrams import Pieces
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.counts import Count
from reformer_seqlen.runtime import machine
from reformer_seqlen.runtime.files import read_json, whole_folder, write_json
from reformer_seqlen.runtime.messages import text as messages
from reformer_seqlen.runtime.paths import BASE_TOKENS, COUNTS, TIMINGS, TOKENS
from reformer_seqlen.scoring.measures import blocks_of, describe_loss, describe_targets
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import load_tokens
from reformer_seqlen.text.windows import Windows


def counted_text(item: Count) -> Pieces:
    """The pieces to count, (pieces,): the base text, if it counts too, and then the corpus.

    A few n-grams go across the place where the two meet, as others do between documents.
    """
    own = load_tokens(TOKENS / f"{item.corpus}-{item.model}", "train").ids
    if item.text == "own":
        return own
    return np.concatenate([load_tokens(BASE_TOKENS / item.model, "train").ids, own])


def whole_split(name: str, item: Count, split: str) -> Split:
    """A split as one window.

    Raises:
        StudyError: it has no token to score.
    """
    tokens = load_tokens(TOKENS / f"{item.corpus}-{item.model}", split)
    if len(tokens) < 2:
        raise messages.nothing_to_score(f"counts.{name}", split, len(tokens))
    return Split(tokens, Windows(np.zeros(1, int), np.zeros(1, int)), len(tokens) - 1, "contiguous")


def count(name: str, item: Count) -> None:
    """Count the n-grams of a text and write what they score."""
    began = time.monotonic()
    splits = {split: whole_split(name, item, split) for split in ("validation", "test")}
    text = counted_text(item)
    record = read_json(TOKENS / f"{item.corpus}-{item.model}" / "tokens.json")
    model = train(text, item.order, record["pieces"])
    result = {"count": name, **item.model_dump(), "tokens_counted": len(text)}
    with whole_folder(COUNTS / name) as folder:
        for split_name, split in splits.items():
            losses = nats(model, split.tokens.ids)[split.scored_positions()].astype(np.float32)
            np.save(folder / f"{split_name}.nats.npy", losses)
            loss = float(losses.mean(dtype=np.float64))
            blocks = blocks_of(split, losses)
            np.save(folder / f"{split_name}.blocks.npy", blocks)
            words = record["splits"][split_name].get("words")
            target = describe_targets(split, record["unknown_id"], words)
            result[split_name] = describe_loss(loss, blocks, target)
        write_json(folder / "scores.json", result)
    spent = {"runtime_seconds": time.monotonic() - began}
    write_json(TIMINGS / "count" / f"{name}.json", {**spent, **machine.describe_without_torch()})


def main(name: str) -> None:
    """Count and score."""
    count(name, known("counts", read_section("counts", dict[str, Count]), name))


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "counts")
