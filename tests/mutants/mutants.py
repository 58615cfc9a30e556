"""
The mutants: one wrong rule each, as an exact replacement of text in one file; lists by room beside this file.

A mutant is a fault that someone could make: a constant of another version, the other end of a list, a call
left out. A test that is about the rule must fail with it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_KEYS = {"name", "file", "old", "new", "tests"}


class MutantError(Exception):
    """A mutant that is none: which, what is wrong with it, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    One fault.

    name: what then happens. file: from the root of the tree. old: text that is there once. new: what takes
    its place. tests: files or tests for pytest, of which one must fail. equivalent: why none can, or "".
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""

    def source(self, root: Path) -> str:
        """
        Return the file's text with the fault in it.

        Raises MutantError if the text is not there exactly once, or what comes out is no Python.
        """
        path = root / self.file
        if not path.is_file():
            raise MutantError(f"{self.name}: no file {self.file}")
        text = path.read_text()
        found = text.count(self.old)
        if found != 1:
            raise MutantError(f"{self.name}: its text is {found} times in {self.file}, must be once")
        mutated = text.replace(self.old, self.new)
        if mutated == text:
            raise MutantError(f"{self.name}: old and new text are the same")
        try:
            compile(mutated, self.file, "exec")
        except SyntaxError as error:
            raise MutantError(f"{self.name}: {self.file} would be no Python: {error}") from error
        return mutated


def _mutant(entry: dict[str, Any], listed: str) -> Mutant:
    """Return one entry of a list."""
    name = entry.get("name", "a mutant without a name")
    missing, unknown = _KEYS - entry.keys(), entry.keys() - _KEYS - {"equivalent"}
    if missing or unknown:
        told = f"{sorted(missing)} missing, {sorted(unknown)} unknown"
        raise MutantError(f"{listed}: {name}: {told}; keys are {sorted(_KEYS)} and equivalent")
    return Mutant(**{**entry, "tests": tuple(entry["tests"])})


def load_mutants(folder: Path = HERE) -> list[Mutant]:
    """
    Return the mutants of all lists of a folder, by list, in order.

    Raises MutantError for an entry that is none, or two of one name.
    """
    mutants: dict[str, Mutant] = {}
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["mutant"]:
            mutant = _mutant(entry, path.name)
            if mutant.name in mutants:
                raise MutantError(f"{path.name}: there are two of the name {mutant.name!r}")
            mutants[mutant.name] = mutant
    return list(mutants.values())
