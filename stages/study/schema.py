"""The base of every part of params.yaml: strict, closed and unchangeable."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, nothing coerced, nothing changed later."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        """Unlike pydantic's own complaint, say which keys there are."""
        unknown = set(values) - set(cls.model_fields) if isinstance(values, dict) else ()
        if unknown:
            named = ", ".join(f"`{key}`" for key in values if key in unknown)
            raise ValueError(f"unknown key {named}; known are {', '.join(cls.model_fields)}")
        return values
