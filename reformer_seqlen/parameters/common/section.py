"""The base of every part of params.yaml: strict, closed and unchangeable."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reformer_seqlen.runtime.messages import parameters as messages


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, nothing coerced, nothing changed later."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Keys of which one is given: a run's own takes the place of another that holds for all."""

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        """Unlike pydantic's own complaint, say which keys there are."""
        if isinstance(values, dict):
            unknown = [str(key) for key in values if key not in cls.model_fields]
            if unknown:
                raise ValueError(messages.unknown_keys(unknown, cls.model_fields))
        return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""A key of params.yaml. It names a stage and files, and DVC would take a dot for nesting."""
