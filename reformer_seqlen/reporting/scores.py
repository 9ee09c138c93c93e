"""How a score is shown: with its interval, and marked where it is a lower bound."""

from collections.abc import Mapping, Sequence
from typing import Any

from reformer_seqlen.reporting.table import number

INFINITE = "no number"
BOUND = "≥ "
BOUND_NOTE = (
    "≥ A lower bound: the tokenizer does not know some of the text, and unknown pieces are easier "
    "to predict than what they stand for."
)


def shown_score(score: Mapping[str, Any]) -> str:
    """Bits per byte, plus or minus half of its interval; marked where it is a lower bound."""
    if score.get("bits_per_byte") is None:
        return INFINITE
    shown = number(score["bits_per_byte"], 3)
    if "low" in score:
        shown += f" ± {number((score['high'] - score['low']) / 2, 3)}"
    return bounded(score, shown)


def bounded(score: Mapping[str, Any], shown: str) -> str:
    """What is shown of a score, marked where unknown pieces make it a lower bound."""
    return f"{BOUND}{shown}" if score.get("bound") == "lower" else shown


def signed(known: Mapping[str, float]) -> str:
    """A difference in bits per byte, plus or minus half of its interval where that is known."""
    half = f" ± {number((known['high'] - known['low']) / 2, 3)}" if "low" in known else ""
    return f"{known['bits_per_byte']:+.3f}{half}"


def bound_note(rows: Sequence[Sequence[str]]) -> list[str]:
    """What the mark of a lower bound means, where a table has one."""
    return [BOUND_NOTE] if any(BOUND in cell for row in rows for cell in row) else []
