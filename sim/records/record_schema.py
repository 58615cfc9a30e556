"""
The form of a record, applied: the JSON Schema that comes with the package, and what a schema cannot say.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from sim.errors import ConfigError
from sim.records.counters import LEAST, known

_SHOWN = 60
"""Characters of a wrong value that an error shows."""


@cache
def _validator() -> Draft202012Validator:
    text = resources.files("sim.records").joinpath("case-schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def check_record(record: dict[str, Any], at: str) -> None:
    """
    Raise ConfigError, one line naming `at`, field, value and what is allowed, unless a record has the form.

    A record of counts must have the least set of counters, and no symbol that is not known.
    """
    error = best_match(_validator().iter_errors(record))
    if error is not None:
        field = ".".join(map(str, error.absolute_path))
        place = f"{at}: {field}" if field else at
        raise ConfigError(place, _problem(error.instance, error.message), _allowed(error))
    if "counts" not in record:
        return
    counts = record["counts"]
    if missing := [symbol for symbol in LEAST if symbol not in counts]:
        raise ConfigError(f"{at}: counts", f"{missing[0]!r} is missing", f"at least {', '.join(LEAST)}")
    if unknown := sorted(counts.keys() - known()):
        raise ConfigError(f"{at}: counts", f"{unknown[0]!r} is not known", "see results/kernel/README.md")


def _problem(value: Any, message: str) -> str:
    """Return the problem in words; a long value is cut."""
    shown = repr(value)
    return message if len(message) < 3 * _SHOWN else f"{shown[:_SHOWN]}... is not of the form"


def _allowed(error: Any) -> str:
    """Return what a field may be, from its schema."""
    said = error.schema if isinstance(error.schema, dict) else {}
    if "enum" in said:
        return ", ".join(map(str, said["enum"]))
    if "const" in said:
        return str(said["const"])
    return str(said.get("description") or said.get("type") or "see results/kernel/schema.json")
