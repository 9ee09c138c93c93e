"""The base of every part of params.yaml: strict, closed and unchangeable."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of params.yaml: unknown keys are refused, nothing is coerced, nothing changes later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
