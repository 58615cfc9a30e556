"""
The layout of a real file from the text that `filefrag -v FILE` prints (e2fsprogs 1.42.7 and later).

Every line must be one of that program's, as it printed it: a wrapped, quoted or missing line would change the
layout, so it is an error with its number. The text says how large the file is; blocks behind its end are
preallocated, and become unwritten ones, the only kind that ext4 has there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sim.errors import ConfigError
from sim.ext4.format.extents import MAX_LOGICAL_BLOCKS
from sim.ext4.make.fiemap import FIEMAP_UNWRITTEN, REFUSED, TAKEN, Row, placed_from_named, require_taken
from sim.ext4.make.layout import Placed

_SIZE = re.compile(r"File size of .* is (\d+) \((\d+) blocks? of (\d+) bytes\)", re.ASCII)
_COLUMNS = "ext: logical_offset: physical_offset: length: expected: flags:"
_ROW = re.compile(
    r"\s*(\d+):\s*(\d+)\.\.\s*(\d+):\s*(\d+)\.\.\s*(\d+):\s*(\d+):(?:\s*(\d+):)?\s*(\S*)\s*", re.ASCII
)
_OTHER = re.compile(
    r"\s*|Filesystem type is: [0-9a-f]+|Filesystem cylinder groups approximately \d+", re.ASCII
)
_FOUND = re.compile(r".*: (\d+) extents? found(?:, perfection would be \d+ extents?)?", re.ASCII)
_WORDS = {word: bit for bit, word in (TAKEN | REFUSED).items()}
_WORDS |= {"eof": 0, "unknown_loc": _WORDS["unknown"], "tail_packed": _WORDS["tail"]}
_ALLOWED = "the text of filefrag -v for one file, every line as it was printed"


class _Header(NamedTuple):
    """Size of the file in bytes, and the unit of the rows."""

    size_bytes: int
    unit_bytes: int


def parse_filefrag(place: str, text: str, block_size: int) -> Placed:
    """
    Return the layout in the text that `filefrag -v FILE` prints (its units are in its header line).

    block_size: of the image to be made, bytes. ConfigError with file and line for a line that is not the
    program's, a second file, a column of devices, a row that does not follow the one before, a range that is
    not as long as the row says, and an extent whose blocks are not the file's.
    """
    header: _Header | None = None
    columns = whole = ended = False
    rows: list[tuple[str, Row]] = []
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{place}:{number}"
        if _OTHER.fullmatch(line):
            continue
        if line.startswith("File size of "):
            if header is not None:
                raise ConfigError(where, "a second file", _ALLOWED)
            header = _header(where, line)
        elif line.split()[0] == "ext:":
            _require_columns(where, line)
            columns = True
        elif header is None or not columns or whole:
            problem = f"{_shown(line)} not between the lines of the columns and of the extents found"
            raise ConfigError(where, problem, _ALLOWED)
        elif found := _FOUND.fullmatch(line.rstrip()):
            whole = True
            _require_all(where, _number(where, found[1]), len(rows))
        else:
            rows.append((where, _row(where, line, len(rows), header.unit_bytes)))
            _require_order(where, rows)
            ended = line.rstrip().endswith(("last", "eof"))
    if header is None:
        raise ConfigError(place, "has no line with '(N blocks of N bytes)'", _ALLOWED)
    if not whole and not ended:
        raise ConfigError(place, "ends before the last extent, and the line of the extents found", _ALLOWED)
    inside = [piece for where, row in rows for piece in _at_end(where, row, header, block_size)]
    return placed_from_named(place, inside, block_size, size_bytes=header.size_bytes)


def _require_all(where: str, found: int, rows: int) -> None:
    """Rows that follow each other on the device count as one extent, so there are as many or more."""
    if found > rows:
        raise ConfigError(where, f"{found} extents found in {rows} rows", "a row for each")


def _header(where: str, line: str) -> _Header:
    match = _SIZE.fullmatch(line.rstrip())
    if match is None:
        raise ConfigError(where, f"{_shown(line)} has no '(N blocks of N bytes)' at its end", _ALLOWED)
    size, blocks, unit = (_number(where, match[group]) for group in (1, 2, 3))
    if unit == 0 or blocks != -(-size // unit):
        raise ConfigError(where, f"{size} bytes in {blocks} blocks of {unit} bytes", "numbers that agree")
    return _Header(size, unit)


def _require_columns(where: str, line: str) -> None:
    words = line.split()
    if "dev:" in words or "device_logical:" in words:
        raise ConfigError(where, "a column of devices: the extents lie on several", "a file of one device")
    if " ".join(words) != _COLUMNS:
        raise ConfigError(where, f"columns {_shown(line)}", _COLUMNS)


def _row(where: str, line: str, expected: int, unit: int) -> Row:
    """Return a row in bytes; `expected` is the number that it must have."""
    match = _ROW.fullmatch(line)
    flags = _flags(where, line.split(":")[-1].strip() if match is None else match[8], match is not None)
    require_taken(where, flags)
    if match is None:
        raise ConfigError(where, f"{_shown(line)} is not understood", f"a row of {_COLUMNS}")
    number, first, last, begin, end, length = (_number(where, match[group]) for group in range(1, 7))
    if number != expected:
        raise ConfigError(where, f"row {number}", f"row {expected}: rows in a line, none missing")
    if last - first + 1 != length or end - begin + 1 != length or length == 0:
        problem = f"length {length} for {first}..{last} at {begin}..{end}"
        raise ConfigError(where, problem, "ranges of that many blocks")
    return first * unit, begin * unit, length * unit, flags


def _flags(where: str, words: str, strict: bool) -> int:
    """Return the flags of comma-separated words; unless `strict`, words that are none are passed over."""
    flags = 0
    for word in words.split(","):
        if word in _WORDS:
            flags |= _WORDS[word]
        elif word and strict:
            raise ConfigError(where, f"flag {_shown(word)} is not known", ", ".join([*TAKEN.values(), "eof"]))
    return flags


def _require_order(where: str, rows: list[tuple[str, Row]]) -> None:
    if len(rows) > 1 and rows[-1][1][0] < rows[-2][1][0] + rows[-2][1][2]:
        raise ConfigError(where, "begins inside the row before", "rows in the order of the file")


def _at_end(where: str, row: Row, header: _Header, block_size: int) -> list[tuple[str, Row]]:
    """Return a row as it is before the end of the file, and as unwritten behind it."""
    logical, physical, length, flags = row
    end = -(-header.size_bytes // block_size) * block_size
    inside = min(max(end - logical, 0), length)
    if inside == length or flags & FIEMAP_UNWRITTEN:
        return [(where, row)]
    behind = (logical + inside, physical + inside, length - inside, flags | FIEMAP_UNWRITTEN)
    return [(where, part) for part in ((logical, physical, inside, flags), behind) if part[2]]


def _number(where: str, digits: str) -> int:
    if len(digits) > len(str(MAX_LOGICAL_BLOCKS)) * 2:
        raise ConfigError(where, f"a number of {len(digits)} digits", "what ext4 can hold")
    return int(digits)


def _shown(text: str) -> str:
    return repr(text.strip())[:70]
