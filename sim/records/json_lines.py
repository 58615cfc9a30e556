"""
Files of JSON that somebody recorded: read strictly, each mistake told with file and line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim import documents
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
    return documents.read_text(path, str(path), "a recorded file")


def parse(text: str, place: str) -> Any:
    """Return the value of a JSON text; `place` names it in errors. Raises ConfigError as `parse_json`."""
    return documents.parse_json(text, place, "one JSON value")
