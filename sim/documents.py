"""
Documents that people hand us: regular files of a bounded size, UTF-8, TOML and JSON, each told in one line.

Whatever is wrong with one is a ConfigError that names the place: what is no regular file (a FIFO waits for
a writer, /dev/zero never ends), too large, no UTF-8, nested too deeply, a number that no field of ours holds.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sim.errors import ConfigError

MOST_BYTES: Final = 64 << 20
"""
The largest document that is read: a layout of a million extents as filefrag prints it, about 60 bytes a line.
"""
MOST_TOML_BYTES: Final = 4 << 20
"""The largest TOML document: tomllib reads about 1 MB a second, and the largest of ours has 0.1 MB."""
MOST_DEPTH: Final = 100
"""How deeply tables and lists may lie in each other: ours go six deep, Python gives up at about 1,000."""
INT64: Final = range(-(1 << 63), 1 << 63)
"""Whole numbers that a document may hold: those that TOML promises, and that our tables can keep."""
_SHOWN: Final = 60


def read_bytes(path: Path, place: str, allowed: str, most: int = MOST_BYTES) -> bytes:
    """
    Return the content of a regular file of at most `most` bytes; ConfigError at `place` if it cannot be had.

    allowed: what the file should have been, for the error.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for a writer
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ConfigError(place, "cannot be read (not a regular file)", allowed)
            content = file.read(most + 1)  # /proc has files that say 0 bytes and have more
    except (OSError, ValueError) as error:
        raise ConfigError(place, f"cannot be read ({why(error)})", allowed) from None
    if len(content) > most:
        raise ConfigError(place, f"cannot be read (more than {most >> 20} MiB)", allowed)
    return content


def why(error: OSError | ValueError) -> str:
    """Return why a file cannot be opened. ValueError: its name has a NUL, or is no text."""
    return getattr(error, "strerror", None) or "not a name of a file"


def read_text(path: Path, place: str, allowed: str, most: int = MOST_BYTES) -> str:
    """Return the text of a file; ConfigError at `place` if it cannot be read, or is not UTF-8."""
    try:
        return read_bytes(path, place, allowed, most).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(place, "cannot be read (not UTF-8)", allowed) from None


def parse_toml(
    text: str, place: str, allowed: str, parse_float: Callable[[str], float] = float
) -> dict[str, Any]:
    """
    Return the table of a TOML text, every value of it one that a field can hold; else ConfigError.

    parse_float: what a number with a point becomes.
    """
    try:
        table = tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(place, f"is not TOML ({error})", allowed) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(place, f"is not TOML ({_said(error)})", allowed) from None
    check_values(table, place)
    return table


def read_toml_text(path: Path, place: str, allowed: str) -> str:
    """Return the text of a TOML file, not parsed yet; ConfigError if it cannot be one."""
    try:
        return read_bytes(path, place, allowed, MOST_TOML_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(place, "is not TOML (not UTF-8)", allowed) from None


def read_toml(path: Path, place: str, allowed: str) -> dict[str, Any]:
    """Return the table of a TOML file; ConfigError as `read_toml_text` and `parse_toml`."""
    return parse_toml(read_toml_text(path, place, allowed), place, allowed)


def parse_json(text: str, place: str, allowed: str) -> Any:
    """
    Return the value of a JSON text, every part of it one that a field can hold; else ConfigError.

    Also for what Python's reader takes and JSON is not, or two readers take for two values: NaN and
    infinities, a key that is there twice.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ConfigError(place, f"is not JSON ({_said(error)})", allowed) from None
    check_values(value, place)
    return value


def read_json(path: Path, place: str, allowed: str) -> Any:
    """Return the value of a JSON file; ConfigError as `read_text` and `parse_json`."""
    return parse_json(read_text(path, place, allowed), place, allowed)


def check_values(value: Any, place: str) -> None:
    """
    Raise ConfigError for what no field of ours can hold, wherever it lies in a document.

    That is a whole number beyond 64 bits, infinity and NaN, a text that is no UTF-8, and what is nested too
    deeply.
    """
    for key, part, depth in _parts(value):
        where = f"{place}: {key}" if key else place
        if depth > MOST_DEPTH:
            raise ConfigError(where[:_SHOWN], "is nested too deeply", f"at most {MOST_DEPTH} levels")
        if isinstance(part, int) and part not in INT64:
            raise ConfigError(where, f"a number of {_digits(part)} digits", "64 bits")
        if isinstance(part, float) and not math.isfinite(part):
            raise ConfigError(where, f"{part} is no number", "a finite one")
        if isinstance(part, str) and not is_utf8(part):
            raise ConfigError(where, f"{part[:_SHOWN]!r} is no text", "UTF-8")


def is_utf8(text: str) -> bool:
    """Return whether a text can be written: JSON and command lines can hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def short(value: object) -> str:
    """Return how an error shows a value: the beginning of a long one, and a huge number by its digits."""
    if isinstance(value, int) and value not in INT64:
        return f"a number of {_digits(value)} digits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a huge number within, or a list within itself
        return f"a {type(value).__name__}"
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}..."


def _digits(number: int) -> int:
    return int(number.bit_length() * math.log10(2)) + 1


def _parts(value: Any) -> Iterator[tuple[str, Any, int]]:
    """Yield (dotted key, value, depth) of a document's parts and keys, without recursion."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        key, part, depth = waiting.pop()
        yield key, part, depth
        if depth > MOST_DEPTH:
            continue
        if isinstance(part, dict):
            for name, inner in part.items():
                yield key, name, depth
                waiting.append((f"{key}.{name}" if key else str(name), inner, depth + 1))
        elif isinstance(part, list):
            waiting += [
                (f"{key}[{at}]", inner, depth + 1)
                for at, inner in enumerate(part)
                if type(inner) is not int or inner not in INT64  # a layout has millions of good ones
            ]


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "a number of too many digits" if "int_max_str_digits" in str(error) else str(error)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is there twice")
    return found
