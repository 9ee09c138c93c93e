"""The section `runs` of params.yaml: the grid, and what a run says over what holds for all."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator

from reformer_seqlen.parameters.common.quantities import SequenceLength
from reformer_seqlen.parameters.common.section import Name, Section
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import parameters as messages

S = TypeVar("S", bound=Section)
NO_TRAINING = "none"
"""What stands in the place of a training where there is none."""


class Run(Section):
    """One run: a corpus, a model, a length; the other fields go over what holds for all runs.

    Attributes:
        chunk: over the section `chunk`.
        train: over the section `train`; or the word `none`: the base is scored as it is.
        evaluate: over the section `evaluate`.
        options: over the model's options.
    """

    corpus: Name
    model: Name
    sequence_length: SequenceLength
    chunk: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] | Literal["none"] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("train", mode="before")
    @classmethod
    def _train_is_values_or_the_word_none(cls, train: Any) -> Any:
        if not isinstance(train, dict) and train != NO_TRAINING:
            raise ValueError(messages.NEITHER_VALUES_NOR_NONE)
        return train

    @property
    def is_trained(self) -> bool:
        """Whether the base is trained before it is scored."""
        return self.train != NO_TRAINING


def overridden(base: S, own: Mapping[str, Any], key: str) -> S:
    """A section with a run's own values over it.

    Args:
        base: what holds for all runs.
        own: the run's values.
        key: where these stand, for the message.

    Raises:
        StudyError: a value is wrong.
    """
    replaced = {name for group in base.alternatives if own.keys() & set(group) for name in group}
    try:
        return type(base).model_validate({**base.model_dump(exclude=replaced), **own})
    except ValidationError as error:
        raise StudyError("\n".join(messages.complaints(error, key))) from error
