"""The base of every part of params.yaml: strict, closed and unchangeable."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, nothing coerced, nothing changed later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
