"""
The specification of an image as a TOML table.

    block_size = "4KiB"                 # 1KiB to 64KiB [4KiB]
    size = "256MiB"                     # of the device [what the files need]
    seed = 1                            # [0]
    directories = ["/empty"]            # [none]
    metadata_csum = true                # checksums of metadata [false]
    [[files]]
    name = "data"                       # or path = "/directory/data"
    size = "64MiB"                      # [a recorded layout's]
    layout = "contiguous"               # or a table { kind = ..., options }, see parse_layout
    xattrs = { "user.note" = "text" }   # [none]

An unknown key or a value of the wrong type is a ConfigError.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sim.documents import read_text, read_toml
from sim.errors import ConfigError
from sim.ext4.format.superblock import BLOCK_SIZES
from sim.ext4.format.xattr import INDEX_USER, XattrKey
from sim.ext4.make.fiemap import parse_fiemap
from sim.ext4.make.filefrag import parse_filefrag
from sim.ext4.make.layout import Aged, Contiguous, Fragmented, Layout, Pattern, Scattered, unwritten
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.units import KIB, format_size, parse_size

LAYOUT_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "contiguous": (),
    "fragmented": ("extent", "extent_blocks", "gap"),
    "sparse": ("data", "hole"),
    "unwritten": (),
    "hole": (),
    "pattern": ("pattern",),
    "aged": ("extent", "seed", "hole_share", "unwritten_share", "window"),
    "random": ("extent", "seed"),
    "fiemap": ("path",),
    "filefrag": ("path",),
}


def read_spec(path: Path) -> ImageSpec:
    """Return the specification in a TOML file; what it names is looked for beside it."""
    return parse_spec(str(path), read_toml(path, str(path), "a TOML file"), path.parent)


def parse_spec(place: str, table: Mapping[str, object], folder: Path) -> ImageSpec:
    """Return the specification in a table; relative paths in it start at `folder`."""
    _known(place, table, ("block_size", "size", "seed", "directories", "metadata_csum", "files"))
    block_size = parse_size(f"{place}: block_size", table.get("block_size", 4 * KIB))
    if block_size not in BLOCK_SIZES:
        raise ConfigError(f"{place}: block_size", f"{block_size}", ", ".join(map(format_size, BLOCK_SIZES)))
    size = table.get("size")
    files = _typed(place, table, "files", list, [])
    directories = _typed(place, table, "directories", list, [])
    if not all(isinstance(name, str) for name in directories):
        raise ConfigError(f"{place}: directories", f"{directories!r}", "a list of paths")
    return ImageSpec(
        tuple(_file(f"{place}: files[{n}]", file, block_size, folder) for n, file in enumerate(files)),
        block_size,
        None if size is None else parse_size(f"{place}: size", size),
        _typed(place, table, "seed", int, 0),
        tuple(directories),
        metadata_csum=_typed(place, table, "metadata_csum", bool, False),
    )


def _file(place: str, table: object, block_size: int, folder: Path) -> FileSpec:
    if not isinstance(table, dict):
        raise ConfigError(place, f"{table!r}", "a table")
    _known(place, table, ("name", "path", "size", "layout", "xattrs"))
    if ("name" in table) == ("path" in table):
        raise ConfigError(place, "needs a name or a path", "one of them")
    path = _typed(place, table, "path", str, "") or "/" + _typed(place, table, "name", str, "")
    size = table.get("size")
    return FileSpec(
        path,
        None if size is None else parse_size(f"{place}: size", size),
        parse_layout(f"{place}: layout", table.get("layout", "contiguous"), block_size, folder),
        xattrs=_xattrs(f"{place}: xattrs", _typed(place, table, "xattrs", dict, {})),
    )


def _xattrs(place: str, table: Mapping[str, object]) -> dict[XattrKey, bytes]:
    found = {}
    for name, value in table.items():
        if not name.startswith("user.") or not isinstance(value, str):
            raise ConfigError(place, f"{name!r} = {value!r}", 'names that start with "user.", strings')
        found[INDEX_USER, name.removeprefix("user.").encode()] = value.encode()
    return found


def parse_layout(place: str, value: object, block_size: int, folder: Path) -> Layout:
    """
    Return the layout in a table { kind, options }, or in a string that is the kind.

    Kinds and their options: LAYOUT_OPTIONS. Sizes in bytes (extent, gap, data, hole) must be whole blocks.
    Of aged, hole_share and unwritten_share are shares of its runs, 0.05 each if not said, 0 for none.
    `path` is a FIEMAP list as JSON or the text of `filefrag -v`. ConfigError names `place`.
    """
    table: Mapping[str, Any] = {"kind": value} if isinstance(value, str) else _as_table(place, value)
    kind = str(table.get("kind"))
    if kind not in LAYOUT_OPTIONS:
        raise ConfigError(f"{place}: kind", f"{kind!r}", ", ".join(LAYOUT_OPTIONS))
    _known(place, table, ("kind", *LAYOUT_OPTIONS[kind]))

    def blocks(name: str, default_bytes: int | None = None) -> int:
        size = parse_size(f"{place}: {name}", table.get(name, default_bytes))
        if not size or size % block_size:
            raise ConfigError(f"{place}: {name}", f"{size} bytes", f"multiples of {block_size}, above 0")
        return size // block_size

    makers: dict[str, Callable[[], Layout]] = {
        "contiguous": Contiguous,
        "fragmented": lambda: Fragmented(
            _typed(place, table, "extent_blocks", int, 0) or blocks("extent"),
            blocks("gap") if "gap" in table else None,
        ),
        "sparse": lambda: Pattern(f"{blocks('data', 4 * KIB)}d{blocks('hole', 4 * KIB)}h"),
        "unwritten": unwritten,
        "hole": lambda: Pattern("1h"),
        "pattern": lambda: Pattern(_typed(place, table, "pattern", str, "")),
        "aged": lambda: Aged(
            blocks("extent", 64 * KIB),
            _share(place, table, "hole_share"),
            _share(place, table, "unwritten_share"),
            _typed(place, table, "window", int, 8),
            _typed(place, table, "seed", int, None),
        ),
        "random": lambda: Scattered(blocks("extent", block_size), _typed(place, table, "seed", int, None)),
        "fiemap": lambda: parse_fiemap(*_text(place, table, folder), block_size),
        "filefrag": lambda: parse_filefrag(*_text(place, table, folder), block_size),
    }
    if "extent" in table and "extent_blocks" in table:
        raise ConfigError(place, "extent and extent_blocks", "one of them")
    return makers[kind]()


def _as_table(place: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(place, f"{value!r}", "a kind, or a table with a kind")
    return value


def _share(place: str, table: Mapping[str, object], name: str) -> float:
    value = table.get(name, 0.05)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{place}: {name}", f"{value!r}", "a share of 0 to 1")
    return float(value)


def _text(place: str, table: Mapping[str, object], folder: Path) -> tuple[str, str]:
    """Return the (name, contents) of the file that `path` names."""
    path = folder / _typed(place, table, "path", str, "")
    return str(path), read_text(path, f"{place}: path", "a text file")


def _known(place: str, table: Mapping[str, object], names: tuple[str, ...]) -> None:
    for name in table:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f", did you mean {near[0]!r}" if near else ""
            raise ConfigError(place, f"unknown key {name!r}{hint}", ", ".join(names))


def _typed(place: str, table: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = table.get(name, default)
    if name in table and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        raise ConfigError(f"{place}: {name}", f"{value!r}", f"a value of type {kind.__name__}")
    return value
