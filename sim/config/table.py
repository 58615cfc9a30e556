"""
The base of all tables of an experiment file.
"""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class AsWritten(float):
    """A number of a TOML file that knows how it was written: 6.10 is another word than 6.1."""

    def __new__(cls, written: str) -> AsWritten:
        """Return the number; `written` as float() takes it."""
        return super().__new__(cls, written)

    def __init__(self, written: str) -> None:
        self.written = str(written)

    def __str__(self) -> str:
        return self.written


def custom(problem: str, allowed: str = "") -> PydanticCustomError:
    """Return the validation error that the loader turns into a ConfigError with a place."""
    return PydanticCustomError("readpath", "{problem}", {"problem": problem, "allowed": allowed})


class Model(BaseModel):
    """
    A table of the file: unknown keys are errors, values do not change.

    But for words that look like a number, as `kernel = 6.1` does: where only words are allowed, it is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _words_that_look_like_numbers(cls, said: Any) -> Any:
        if not isinstance(said, dict):
            return said
        fields = cls.model_fields.items()
        words = {field.alias or name for name, field in fields if _is_word(field.annotation)}
        numbers = {key for key, value in said.items() if key in words and _is_number(value)}
        return {key: str(value) if key in numbers else value for key, value in said.items()}


def _is_word(annotation: Any) -> bool:
    if (
        get_origin(annotation) is UnionType
    ):  # a word of ours, or what the loader puts there for the user's own
        return str in get_args(annotation)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return annotation is str or (bool(choices) and all(isinstance(choice, str) for choice in choices))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
