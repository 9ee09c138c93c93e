"""What keys and kinds of values a file of metrics holds, so that one changed by hand is noticed."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from reformer_seqlen.reporting.metrics import Metrics


def shapes(values: Metrics) -> dict[str, str]:
    """A sha256 of each file's keys and kinds of values, by FOLDER/NAME: of no number in it."""
    return {
        f"{kind}/{name}": hashlib.sha256(json.dumps(_shape(value)).encode()).hexdigest()
        for kind, files in values.items()
        for name, value in files.items()
    }


def _shape(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shape(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number" if math.isfinite(value) else "no number"
    return type(value).__name__


def differing(written: Mapping[str, Any], here: Mapping[str, str]) -> tuple[str, str] | None:
    """The first file that is not as it was written, and what is wrong with it."""
    for name in sorted({*written, *here}):
        if name not in here:
            return name, "is missing"
        if name not in written:
            return name, "is not of this study"
        if here[name] != written[name]:
            return name, "has other keys or kinds of values than the report wrote"
    return None
