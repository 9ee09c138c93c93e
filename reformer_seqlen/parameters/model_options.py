"""What can be chosen of a model beside its weights: `options` of a model and of a run."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError

from reformer_seqlen.parameters.common.quantities import Rounds
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.common.section import Section
from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import parameters as messages

Buckets = Annotated[int, Field(ge=2, le=2**16, multiple_of=2)]
REFORMER = "reformer"
"""The `model_type` of a Reformer's configuration."""
SWITCH: dict[str | bool, str] = {"auto": "auto", True: "on", False: "off"}
"""How a Reformer's configuration calls what params.yaml says."""


def _switch(value: Any) -> str:
    if isinstance(value, str | bool) and value in SWITCH:
        return SWITCH[value]
    raise ValueError(messages.TRUE_FALSE_OR_AUTO)


class ReformerOptions(Section):
    """Choices that leave a Reformer's weights as they are (see `reformer.model.configured`).

    Attributes:
        implementation: our forward pass, or stock transformers'.
        positions: the checkpoint's axial tables; a table of the run's own length; or the study's,
            fresh and as long as the model's limit.
        lsh_causality: whether lsh attention may peek at the future as the published one does.
        num_hashes: hash rounds; None for the checkpoint's.
        num_buckets: a number, or its factors; None for what the length recommends under `strict`
            and the checkpoint's under `published`.
        reversible: whether activations are computed again in the backward pass, to save memory:
            true, false or `auto`.
    """

    implementation: Literal["reformer-seqlen", "transformers"] = "reformer-seqlen"
    positions: Literal["axial", "learned", "published"] = "axial"
    lsh_causality: Literal["strict", "published"] = "strict"
    num_hashes: Rounds | None = None
    num_buckets: Buckets | Annotated[list[Buckets], Field(min_length=1)] | None = None
    reversible: Annotated[
        Literal["auto", "on", "off"],
        BeforeValidator(_switch, json_schema_input_type=Literal["auto"] | bool),
    ] = "auto"


class AttentionOptions(Section):
    """Choices of any other causal language model, which transformers computes.

    Attributes:
        attention: which of transformers' implementations is used; None for the model's own choice,
            `sdpa` where it has it.
    """

    attention: Literal["sdpa", "eager", "flex", "flash"] | None = None


ModelOptions: TypeAlias = ReformerOptions | AttentionOptions


def options_for(model_type: str | None, values: Mapping[str, Any], key: str) -> ModelOptions:
    """The options of a kind of model, checked.

    Args:
        model_type: of the model's configuration; None where that is not known before the model is
            fetched; what is declared then tells the kinds apart.
        values: what params.yaml says.
        key: where it says so, for the message.

    Raises:
        StudyError: there is no such option, or a value is wrong.
    """
    reformer = model_type == REFORMER
    if model_type is None:
        reformer = not values.keys() & AttentionOptions.model_fields.keys()
    kind: type[ModelOptions] = ReformerOptions if reformer else AttentionOptions
    unknown = [name for name in values if name not in kind.model_fields]
    if unknown:
        raise messages.not_options(key, model_type, unknown, kind.model_fields)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise StudyError("\n".join(messages.complaints(error, key))) from error


def options_of(run: Run) -> dict[str, Any]:
    """The options of a run's model, with the run's own over them, as params.yaml has them."""
    declared = known("models", read_section("models", dict[str, dict[str, Any]]), run.model)
    return {**declared["options"], **run.options}
