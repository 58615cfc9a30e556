"""
The table of fio's options: options.toml, which says what each takes and what it does here.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

Verdict = Literal["modelled", "nothing", "refused"]


@dataclass(frozen=True, slots=True)
class Option:
    """
    One option. takes, least, most, allowed: see options.toml.

    words: what it may be, for takes="word". refused: words that cannot be used -> why. unless: values with
    which a refused option changes nothing. unless_has: so does a value with this in it, for what is said in
    `harmless`.
    """

    name: str
    here: Verdict
    why: str
    takes: str
    alias: str = ""
    words: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None
    unless: tuple[str, ...] = ()
    unless_has: str = ""
    harmless: str = "its default"
    allowed: str = ""
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def bare(self) -> bool:
        """Whether it may be set by its name alone."""
        return self.takes in ("flag", "any")

    @property
    def usable(self) -> str:
        """The values that may be used, in words."""
        if self.allowed:
            return self.allowed
        if self.here == "refused":
            return ", ".join(self.unless)
        words = ("0", "1") if self.takes == "bool" else self.words
        return ", ".join(word for word in words if word not in self.refused)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of fio's own command line. value: whether one follows it: "must", "may", "none"."""

    name: str
    here: Verdict
    why: str
    value: Literal["must", "may", "none"]


def _option(name: str, said: dict[str, Any], **verdict: Any) -> Option:
    lists: dict[str, Any] = {key: tuple(str(said[key]).split()) for key in ("words", "unless") if key in said}
    refused = {word: why for words, why in said.get("refused", {}).items() for word in words.split()}
    fields: dict[str, Any] = {"name": name, **verdict, **said, **lists, "refused": refused}
    return Option(**fields)


@cache
def _said() -> dict[str, Any]:
    text = (resources.files("sim") / "workload" / "fio" / "options.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def options() -> dict[str, Option]:
    """Return every option of a job by name, in the order of the table."""
    said = _said()
    found = [_option(name, row, here="modelled") for name, row in said["modelled"].items()]
    for here in ("nothing", "refused"):
        for why, rows in said[here].items():
            found += [_option(name, row, here=here, why=why) for name, row in rows.items()]
    return {option.name: option for option in found}


@cache
def engine_options(engine: str) -> dict[str, Option]:
    """Return the options that only this engine has, by name."""
    rows = _said()["engine_option"].get(engine, {})
    return {name: _option(name, row) for name, row in rows.items()}


@cache
def engines() -> dict[str, tuple[Verdict, str]]:
    """Return engine -> (verdict, why) of those that have a verdict of their own."""
    return {name: (row["here"], row["why"]) for name, row in _said()["engine"].items()}


@cache
def command_words() -> dict[str, Word]:
    """Return the words of fio's own command line by name."""
    return {name: Word(name, **row) for name, row in _said()["command"].items()}


@cache
def _by_any_name() -> dict[str, Option]:
    aliases = {option.alias: option for option in options().values() if option.alias}
    return options() | aliases


def option_names() -> tuple[str, ...]:
    """Return the names of all options of a job, aliases included, sorted."""
    return tuple(sorted(_by_any_name()))


def find(name: str, engine: str) -> Option | None:
    """Return the option of that name or alias, also one that only `engine` has; None if there is none."""
    return _by_any_name().get(name) or engine_options(engine).get(name)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return those of `known` that `name` may have been meant to be, the most alike first; never nothing."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 3, cutoff=0.6)
    return ", ".join(near or difflib.get_close_matches(name, names, 1, cutoff=0.0) or names[:1])
