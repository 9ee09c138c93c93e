"""Of base models."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from reformer_seqlen.runtime.errors import StudyError, one_line
from reformer_seqlen.runtime.files import final_path

FIELD = re.compile(r"^Validation error for field '\w+': (\w+: )?")
"""How transformers begins; what follows names the field too."""
SHOWN = 3
"""Of weights that are missing."""


def unknown_settings(key: str, unknown: Iterable[str], known: Iterable[str]) -> StudyError:
    """A recipe's architecture sets what a Reformer's configuration does not have."""
    return StudyError(
        f"{key}: a Reformer's configuration has no {', '.join(unknown)};"
        f" the default architecture sets {', '.join(known)}"
    )


def no_reformer(key: str, error: Exception, given: Iterable[str]) -> StudyError:
    """An architecture that transformers refuses."""
    return _of_a_value(key, "makes no Reformer", error, given)


def _of_a_value(key: str, fault: str, error: Exception, given: Iterable[str]) -> StudyError:
    """A refusal at the key of the first of the given values that its words name, if any."""
    words = FIELD.sub("", one_line(error))
    places = {name: re.search(rf"\b{re.escape(name)}\b", words) for name in given}
    named = {name: found.start() for name, found in places.items() if found}
    if not named:
        return StudyError(f"{key} {fault}: {words}")
    return StudyError(f"{key}.{min(named, key=named.__getitem__)}: {words}")


def not_causal(where: str, model_type: str, known: Iterable[str], is_another: bool) -> StudyError:
    """A model type that is no causal language model; one of another kind is spelt right."""
    asked = f"{where}: model_type must be a causal language model of transformers"
    if not model_type:
        return StudyError(f"{asked}, but there is none")
    hint = "" if is_another else _did_you_mean(model_type, known, cutoff=0.5)
    return StudyError(f"{asked}, but it is `{model_type}`{hint}")


def not_a_configuration(
    where: str, model_type: str, error: Exception, given: Iterable[str]
) -> StudyError:
    """Values that the configuration class of a model type refuses.

    Args:
        where: a key of params.yaml or a file.
        model_type: as transformers calls it.
        error: the refusal.
        given: the names of the values that have keys of their own in params.yaml.
    """
    return _of_a_value(where, f"is not a configuration of {model_type}", error, given)


ENCODER = (
    "it is an encoder, whose tokens see those after them: give `is_decoder: true` for the causal "
    "language model"
)
"""A model that is causal only if its configuration says so."""


def unknown_value(name: str, known: Iterable[str]) -> str:
    """A name that a configuration class does not have."""
    return f"it has no `{name}`{_did_you_mean(name, known)}"


def quantized() -> str:
    """Quantized weights, which nothing here makes."""
    return "`quantization_config` is not honoured: leave it out, for weights of its dtype"


def unknown_dtype(dtype: object, known: Iterable[object]) -> str:
    """Numbers that models are not made of."""
    names = ", ".join(_short(each) for each in known)
    return f"its dtype is {_short(dtype)}; models are made in {names}"


def _short(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def no_factor(factor: object) -> str:
    """A factor of rotary positions that is no number."""
    return f"the factor of its rotary positions is no number, but {factor!r}"


def too_long(model_type: str, positions: int, tokens: int, key: str) -> StudyError:
    """More tokens than a model has positions for."""
    place = f"{key}.sequence_length: " if key else ""
    said = f"{model_type} has {positions} positions, {tokens} tokens are too many"
    return StudyError(place + said)


def not_built(model_type: str, error: Exception) -> StudyError:
    """A configuration that transformers makes no model of."""
    return StudyError(f"{model_type} does not build: {one_line(error)}")


def no_model(key: str, error: Exception) -> StudyError:
    """An architecture that transformers makes no model of."""
    return StudyError(f"{key}: {one_line(error)}")


def said_elsewhere(key: str, name: str, place: str) -> StudyError:
    """A setting of an architecture that has a place of its own."""
    return StudyError(f"{key}: say `{name}` in `{place}` of the model, not in its architecture")


def no_configuration(folder: Path, error: Exception) -> StudyError:
    """A folder whose config.json is missing or says nothing."""
    return StudyError(
        f"{final_path(folder)} is no checkpoint, since its config.json can't be read or has no "
        f"model_type: {one_line(error)}"
    )


def no_gguf(what: str, error: Exception) -> StudyError:
    """A file that holds no model that transformers reads."""
    return StudyError(f"{what} is no GGUF file of a model that is read here: {one_line(error)}")


def not_loaded(folder: Path, model_type: str, error: Exception) -> StudyError:
    """A checkpoint that transformers does not load."""
    return StudyError(f"{final_path(folder)} holds no {model_type} that loads: {one_line(error)}")


def quantized_weights(folder: Path) -> StudyError:
    """A checkpoint whose weights are packed, which is neither trained nor scored here."""
    return StudyError(
        f"the weights of {final_path(folder)} are quantized (`quantization_config` in its "
        "config.json), and models are trained and scored in float32 here: take the checkpoint that "
        "they were made from, or a GGUF file of it"
    )


def no_embedding(name: str, largest: int, known: int) -> StudyError:
    """A tokenizer that is not the model's."""
    return StudyError(
        f"models.{name}: the text has a piece of id {largest}, and the model knows {known} (0 to "
        f"{known - 1}): its `tokenizer` is another model's; choose the one that it was trained with"
    )


def lacks_weights(folder: Path, model_type: str, missing: Sequence[str]) -> StudyError:
    """A checkpoint without weights that its configuration has: transformers would draw them."""
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return StudyError(
        f"{final_path(folder)} lacks weights of the {model_type} that its config.json describes, "
        "or has them in other shapes: "
        f"{', '.join(missing[:SHOWN])}{more}; fetch it again, or mend its config.json"
    )


def _did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    near = get_close_matches(name, list(known), cutoff=cutoff)
    return f"; did you mean {' or '.join(near)}?" if near else ""
