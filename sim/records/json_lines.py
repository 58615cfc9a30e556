"""
Files of JSON that somebody recorded: read strictly, each mistake told with file and line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim.errors import ConfigError


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file. Raises ConfigError with the line that is none."""
    lines = read_text(path).split("\n")
    if not lines[-1]:
        del lines[-1]
    objects = []
    for number, line in enumerate(lines, start=1):
        entry = parse(line, f"{path}:{number}")
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}:{number}", "is not an object", "one object a line")
        objects.append(entry)
    return objects


def read_text(path: Path) -> str:
    """Return a file's text. Raises ConfigError for one that cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(str(path), f"cannot be read ({why})", "a recorded file") from error


def parse(text: str, place: str) -> Any:
    """
    Return the value of a JSON text; `place` names it in errors.

    Raises ConfigError also for what Python's reader takes and JSON is not, or two readers take for two
    values: NaN and infinities, a key that is there twice.
    """
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(place, f"is not JSON ({why})", "one JSON value") from error


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is there twice")
    return found
