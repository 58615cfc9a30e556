"""
The base of all tables of an experiment file.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


def custom(problem: str, allowed: str = "") -> PydanticCustomError:
    """Return the validation error that the loader turns into a ConfigError with a place."""
    return PydanticCustomError("readpath", "{problem}", {"problem": problem, "allowed": allowed})


class Model(BaseModel):
    """A table of the file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)
