"""
The matrix of an experiment: dotted keys, what replaces what, and the cartesian product.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sim.config.table import AsWritten
from sim.documents import check_values, parse_toml, short
from sim.errors import ConfigError

Raw = dict[str, Any]
"""An experiment file as tomllib reads it."""

JOB_KEY = "workload.job"
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Override:
    """A value put at a dotted key. place: where it was written, for errors."""

    key: str
    value: Any
    place: str


@dataclass(frozen=True)
class Axis:
    """
    A line of [matrix]: a dotted key, and per value its label.

    A value that is a table in which a key has a dot stands for all its keys, whatever the line is called.
    """

    key: str
    labels: tuple[str, ...]
    values: tuple[Any, ...]
    place: str


def parse_set(text: str) -> Override:
    """
    Return a `--set key=value`; the value is TOML, or else the bare string it looks like.

    Raises ConfigError if there is no key or no `=`.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        raise ConfigError(f"--set {text}", "is not understood", "--set table.key=value")
    place = f"--set {key}"
    try:
        parsed = parse_toml(f"value = {value}", place, "a value", AsWritten)["value"]
    except ConfigError:
        parsed = value.strip()  # no TOML, then a word
        check_values(parsed, place)
    return Override(key, parsed, place)


def several(override: Override) -> str:
    """Return as a TOML list what is, or looks like, several values, "a,b" or "[a, b]"; "" if it does not."""
    if isinstance(override.value, list) and all(isinstance(one, str | int) for one in override.value):
        return json.dumps(override.value)
    said = override.value.strip("[] ") if isinstance(override.value, str) else ""
    words = [word for word in re.split(r"[\s,;|]+", said) if word]
    if len(words) < 2 or any(letter in said for letter in "\"'={}"):
        return ""
    return f"[{', '.join(word if _NUMBER.fullmatch(word) else json.dumps(word) for word in words)}]"


def axis_keys(matrix: Any) -> list[str]:
    """Return the dotted keys of a [matrix] table as it was read; none of what is no table."""
    return [key for key, _values in _flat(matrix, "")] if isinstance(matrix, Mapping) else []


def axes(table: Mapping[str, Any], place: str) -> tuple[Axis, ...]:
    """Return the axes of a [matrix] table, in file order; `place` is its place in errors."""
    return tuple(_axis(key, values, f"{place}.{key}") for key, values in _flat(table, ""))


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):  # an unquoted dotted key
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _axis(key: str, values: Any, place: str) -> Axis:
    if not isinstance(values, list) or not values:
        raise ConfigError(place, f"{short(values)} is not a list of values", f"{key} = [one, or, more]")
    labels = tuple(_label(value) for value in values)
    twice = next((label for label, count in Counter(labels).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(place, f"two values are called {short(twice)}", "a distinct label for each")
    return Axis(key, labels, tuple(_value(value) for value in values), place)


def _label(value: Any) -> str:
    if isinstance(value, Mapping):
        if isinstance(value.get("label"), str) and value["label"]:
            return str(value["label"])
        words = [f"{key}={_label(inner)}" for key, inner in value.items() if key != "kind"]
        return " ".join([str(value.get("kind", "")), *words]).strip()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(value: Any) -> Any:
    """Strip the label: {label, value} is the value, {label, ...} the rest of the table."""
    if not isinstance(value, Mapping) or "label" not in value:
        return value
    rest = {key: inner for key, inner in value.items() if key != "label"}
    return rest["value"] if list(rest) == ["value"] else rest


def _overrides(axis: Axis, value: Any) -> list[Override]:
    """Return what a value of an axis replaces."""
    if isinstance(value, Mapping) and any("." in key for key in value):
        return [Override(key, inner, axis.place) for key, inner in value.items()]
    return [Override(axis.key, value, axis.place)]


def _replaces(axis: Axis, key: str) -> bool:
    """Return whether some value of an axis replaces what is at `key`, which is not its own."""
    keys = {override.key for value in axis.values for override in _overrides(axis, value)}
    return any(key.startswith(f"{one}.") or (key == one and one != axis.key) for one in keys)


def narrow(matrix: tuple[Axis, ...], sets: list[Override]) -> tuple[tuple[Axis, ...], list[Override]]:
    """
    Apply `--set` to the axes; return them and the overrides that are not about an axis.

    Setting the key of an axis keeps the axis with that value (a list: those values); a string that is one
    of its labels stands for the value so labelled. Raises ConfigError if an axis would undo an override.
    """
    rest: list[Override] = []
    for override in sets:
        at = next((i for i, axis in enumerate(matrix) if axis.key == override.key), None)
        if at is None:
            for axis in matrix:
                if _replaces(axis, override.key):
                    raise ConfigError(override.place, "the matrix replaces it", f"--set {axis.key}=...")
            rest.append(override)
            continue
        old = matrix[at]
        given = override.value if isinstance(override.value, list) else [override.value]
        known = dict(zip(old.labels, old.values, strict=True))
        values = [
            {"label": value, "value": known[value]} if isinstance(value, str) and value in known else value
            for value in given
        ]
        matrix = (*matrix[:at], _axis(old.key, values, override.place), *matrix[at + 1 :])
    return matrix, rest


def product(matrix: tuple[Axis, ...]) -> Iterator[tuple[tuple[tuple[str, str], ...], list[Override]]]:
    """Yield (labels, overrides) per cell: the first axis slowest, as nested loops in file order."""
    for picks in itertools.product(*(range(len(axis.values)) for axis in matrix)):
        chosen = list(zip(matrix, picks, strict=True))
        labels = tuple((axis.key, axis.labels[pick]) for axis, pick in chosen)
        yield labels, [each for axis, pick in chosen for each in _overrides(axis, axis.values[pick])]


def apply(raw: Raw, overrides: list[Override]) -> Raw:
    """
    Return a copy of `raw` with the overrides put in, in order; job options are left to the caller.

    A key goes through arrays into each of their tables: "volume.files.layout" is that of every file.
    Raises ConfigError if a key leads through something that is not a table.
    """
    raw = copy.deepcopy(raw)
    for override in overrides:
        if not override.key.startswith(f"{JOB_KEY}."):
            _put(raw, override.key.split("."), override)
    return raw


def _put(table: Any, path: list[str], override: Override) -> None:
    if isinstance(table, list):
        for entry in table:
            _put(entry, path, override)
        return
    if not isinstance(table, dict):
        raise ConfigError(override.place, f"{path[0]!r} would be inside {short(table)}", "a key of a table")
    if len(path) == 1:
        table[path[0]] = copy.deepcopy(override.value)
    else:
        _put(table.setdefault(path[0], {}), path[1:], override)
