"""
From a validation error to one line: file, line, key, value, and what would have been right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sim.documents import short
from sim.errors import ConfigError

_RANGE_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def unknown_key(place: str, key: str, known: list[str]) -> ConfigError:
    """Return the error of a key that is not among `known`: the nearest first, then all of them."""
    near = difflib.get_close_matches(key, known, 1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return ConfigError(place, f"unknown key {short(key)}{hint}", ", ".join(known))


def from_validation(
    error: ValidationError, model: type[BaseModel], raw: object, file: str, also: tuple[str, ...] = ()
) -> ConfigError:
    """
    Return the first problem of `error` as a ConfigError.

    model: what was validated. raw: the plain values it was given. file: prefix of the place. also: keys
    that the file may have at its top besides those of `model`.
    """
    errors = error.errors(include_url=False)
    # A misspelt key is often also a missing one: the misspelling says more.
    first = next((found for found in errors if found["type"] == "extra_forbidden"), errors[0])
    kind, context = first["type"], first.get("ctx", {})
    location = _written(first["loc"], raw, new_key=kind in ("missing", "extra_forbidden"))
    place = f"{file}: {dotted(location)}" if location else file
    if kind == "extra_forbidden":
        known = _keys(model, first["loc"][:-1]) + list(also if len(location) == 1 else ())
        return unknown_key(place, str(location[-1]), known)
    if kind == "missing":
        return ConfigError(place, "is missing", f"keys here: {', '.join(_keys(model, first['loc'][:-1]))}")
    if kind == "readpath":
        problem = context["problem"]
        return ConfigError(place, problem, context["allowed"])
    if kind == "literal_error":
        return ConfigError(place, f"{short(first['input'])} is not known", _unquoted(context["expected"]))
    if kind == "union_tag_invalid":
        return ConfigError(
            f"{place}.kind", f"{short(context['tag'])} is not known", _unquoted(context["expected_tags"])
        )
    if kind == "union_tag_not_found":
        return ConfigError(f"{place}.kind", "is missing", "the kind of layout")
    ranges = [f"{sign} {context[word]}" for word, sign in _RANGE_SIGNS.items() if word in context]
    allowed = ", ".join(ranges) or _plain(first["msg"])
    if allowed == "a table" and location[-1:] == ("layout",):
        allowed = 'a table, as { kind = "contiguous" }'
    return ConfigError(place, f"{short(first['input'])} cannot be used", allowed)


def dotted(location: tuple[str | int, ...]) -> str:
    """Return a location as people write it: files[0].size."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _written(location: tuple[str | int, ...], raw: Any, new_key: bool) -> tuple[str | int, ...]:
    """
    Drop the parts of a location that pydantic adds (tags of unions) and the file does not have.

    new_key: the last part may be a key that is not there.
    """
    kept: list[str | int] = []
    for at, part in enumerate(location):
        in_table = isinstance(raw, Mapping) and part in raw
        if in_table or (isinstance(raw, list | tuple) and isinstance(part, int) and part < len(raw)):
            raw = raw[part]
        elif at < len(location) - 1 or not isinstance(raw, Mapping) or not new_key:
            continue
        kept.append(part)
    return tuple(kept)


def _keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that the table at `location` below `model` may have, as a file writes them."""
    for part in location:
        if isinstance(part, int):
            continue
        found = [field for name, field in model.model_fields.items() if (field.alias or name) == part]
        tables = _models(found[0].annotation) if found else []
        if len(tables) == 1:
            model = tables[0]
        elif tables:  # a union: the next part is the tag
            tag = location[location.index(part) + 1 :]
            kinds = [str(word) for word in tag if not isinstance(word, int)]
            model = next((t for t in tables if kinds and kinds[0] in _kinds(t)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def _unquoted(text: str) -> str:
    return re.sub(r"\s+or\s+", ", ", text).replace("'", "")


def _plain(message: str) -> str:
    if "dictionary" in message:
        return "a table"
    return message.removeprefix("Input should be ").removeprefix("a valid ")


def line_of(text: str, key: str) -> int | None:
    """
    Return the 1-based line of a TOML text that sets `key` ("volume.files[0].size"), if it can be told.

    tomllib keeps no positions, so this looks for the table and the key by their spelling; inside an inline
    table it finds the line of the table.
    """
    wanted = re.sub(r"\[[0-9]+\]", "", key)
    table, longest, found = "", 0, None
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header and "=" not in line.split("]")[0]:
            table = header[1].replace('"', "")
            here = table
        else:
            match = re.match(r"\s*([\w.\"' -]+?)\s*=", line)
            if match is None:
                continue
            here = f"{table}.{match[1]}".strip(".").replace('"', "").replace("'", "")
        if (wanted == here or wanted.startswith(f"{here}.")) and len(here) > longest:
            longest, found = len(here), number
    return found
