"""
The form of a record and of a layout, applied: the JSON Schemas that come with the package, and what a schema
cannot say.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import best_match

from sim.errors import ConfigError
from sim.records.counters import LEAST, known
from sim.records.versions import known_symbols

_SHOWN = 60
"""Characters of a wrong value that an error shows."""
_MOST_COUNT: Final = (1 << 63) - 1
"""What the schema says of counts."""
_MOST_BIOS: Final = 16
_MOST_FLAGS: Final = 7
"""What it says of first bios, and of the flags of one."""
SCHEMAS: Final = {"case": "schema.json", "layout": "layout-schema.json"}
"""What is checked -> the file of results/kernel that documents it; the package has `<what>-schema.json`."""


def _is_integer(_checker: Any, value: Any) -> bool:
    """A count is written as one: 3.0 and true are none."""
    return isinstance(value, int) and not isinstance(value, bool)


@cache
def _validator(what: str) -> Any:
    strict = validators.extend(
        Draft202012Validator,
        type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
    )
    text = resources.files("sim.records").joinpath(f"{what}-schema.json").read_text(encoding="utf-8")
    return strict(json.loads(text))


def check_form(document: Any, what: Literal["case", "layout"], at: str) -> None:
    """Raise ConfigError, one line naming `at`, field, value and what is allowed, unless the schema is met."""
    error = best_match(_validator(what).iter_errors(document))
    if error is not None:
        parts = map(str, error.absolute_path)
        field = ".".join(part if part.isprintable() else repr(part) for part in parts)
        raise ConfigError(f"{at}: {field}" if field else at, _problem(error), _allowed(error, SCHEMAS[what]))


def check_record(record: dict[str, Any], at: str) -> None:
    """
    Raise ConfigError unless a record has the form.

    A record of counts must have the least set of counters, and no symbol that is not known.
    """
    counts = record.get("counts") if isinstance(record, dict) else None
    check_form(_without_plain(record), "case", at)
    if counts is None:
        return
    if missing := [symbol for symbol in LEAST if symbol not in counts]:
        raise ConfigError(f"{at}: counts", f"{missing[0]!r} is missing", f"at least {', '.join(LEAST)}")
    if unknown := sorted(counts.keys() - known() - known_symbols()):
        raise ConfigError(f"{at}: counts", f"{unknown[0]!r} is not known", "see results/kernel/README.md")


def _without_plain(record: Any) -> Any:
    """Return a record without counts and first bios where these are of the form: the schema is slow."""
    if not isinstance(record, dict):
        return record
    left: dict[str, Any] = {}
    if _are_counts(record.get("counts")):  # some sixty
        left["counts"] = {}
    blk = record.get("blk")
    if isinstance(blk, dict) and _are_bios(blk.get("first_bios")):
        left["blk"] = blk | {"first_bios": []}
    return record | left


def _are_counts(said: Any) -> bool:
    """Return whether there is nothing about counts that the schema could complain of."""
    return isinstance(said, dict) and all(
        type(number) is int and 0 <= number <= _MOST_COUNT for number in said.values()
    )


def _are_bios(said: Any) -> bool:
    """Return whether there is nothing about first bios that the schema could complain of."""
    return (
        isinstance(said, list)
        and len(said) <= _MOST_BIOS
        and all(
            type(bio) is list
            and len(bio) == 3
            and all(type(number) is int and number >= 0 for number in bio)
            and bio[2] <= _MOST_FLAGS
            for bio in said
        )
    )


def _problem(error: Any) -> str:
    """Return the problem in words; a long value is cut."""
    message = str(error.message)
    return message if len(message) < 3 * _SHOWN else f"{repr(error.instance)[:_SHOWN]}... is not of the form"


def _allowed(error: Any, file: str) -> str:
    """Return what a field may be, from its schema."""
    said = error.schema if isinstance(error.schema, dict) else {}
    if "enum" in said:
        return ", ".join(map(str, said["enum"]))
    if "const" in said:
        return str(said["const"])
    return str(said.get("description") or said.get("type") or f"see results/kernel/{file}")
