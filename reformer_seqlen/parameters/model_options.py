"""What can be chosen of a model beside its weights: `options` of a model and of a run."""

from typing import Annotated, Any, Literal

from pydantic import Field

from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.common.section import Section
from reformer_seqlen.parameters.runs import Run, overridden

Buckets = Annotated[int, Field(ge=2, le=2**20, multiple_of=2)]


class ModelOptions(Section):
    """Choices that leave a model's weights as they are (see `reformer.model.configured`).

    Attributes:
        implementation: our forward pass, or stock transformers'.
        positions: the checkpoint's axial tables; a table of the run's own length; or the study's,
            fresh and as long as the model's limit.
        lsh_causality: whether lsh attention may peek at the future as the published one does.
        num_hashes: hash rounds; None for the checkpoint's.
        num_buckets: a number, or its factors; None for what the length recommends under `strict`
            and the checkpoint's under `published`.
        reversible: whether activations are computed again in the backward pass, to save memory.
    """

    implementation: Literal["reformer-seqlen", "transformers"] = "reformer-seqlen"
    positions: Literal["axial", "learned", "published"] = "axial"
    lsh_causality: Literal["strict", "published"] = "strict"
    num_hashes: Annotated[int, Field(gt=0)] | None = None
    num_buckets: Buckets | Annotated[list[Buckets], Field(min_length=1)] | None = None
    reversible: Literal["auto", "on", "off"] = "auto"


def options_of(name: str, run: Run) -> ModelOptions:
    """The options of a run's model, with the run's own over them, read from params.yaml.

    Raises:
        StudyError: there is no such model, or a value is wrong.
    """
    declared = known("models", read_section("models", dict[str, dict[str, Any]]), run.model)
    base = ModelOptions.model_validate(declared["options"])
    return overridden(base, run.options, f"runs.{name}.options")
