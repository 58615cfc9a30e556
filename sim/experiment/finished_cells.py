"""
Results of finished cells, kept aside until their run is whole, so that an interrupted one can go on.

    .<run directory>.cells/<key>    beside the run directory: SHA-256 of the rest, newline, JSON

The key is a hash of all that a result depends on: configuration, seed, whether it was traced, the code, and
the versions of Python and of the libraries. What has another key, or is not what its checksum says, is
removed and never used. A worker writes a result as soon as it has it, under another name first.

Only a directory that we made is used and emptied: no link, our own, closed to others, and marked by its mode.
Anything else under the name is an error, and is left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.config.cell import Cell, digest
from sim.config.cell_result import CallRow, CellResult, IoRow, JobRow, ReadRow
from sim.config.traced import packed, unpacked
from sim.errors import ConfigError
from sim.experiment.versions import versions
from sim.volume.image_digests import recorded_digest

if TYPE_CHECKING:
    from sim.experiment.runner import RunCell


def kept_folder(target: Path) -> Path:
    """Return where the cells of an unfinished run into `target` are kept."""
    return target.with_name(f".{target.name}.cells")


def keys_of_cells(cells: Sequence[Cell], trace: bool) -> list[str]:
    """Return the key of each cell's result."""
    of = versions(cells)
    return [digest([cell.config_hash, cell.seed, trace, of]) for cell in cells]


_MODE = 0o1700
"""Closed to others; the sticky bit is the mark by which it is known as ours: none has it by chance."""


def _must_be_ours(folder: Path) -> bool:
    """
    Return whether there is a directory of ours; ConfigError if something else has its name.

    Whoever can put a link, or a directory of others' files, where cells are kept must not have it emptied.
    """
    try:
        said = folder.lstat()
    except FileNotFoundError:
        return False
    own = stat.S_ISDIR(said.st_mode) and said.st_uid == os.geteuid()
    if not own or stat.S_IMODE(said.st_mode) != _MODE:
        raise ConfigError(
            str(folder), "is in the way: no directory that readpath made", "another --output, or remove it"
        )
    return True


def make_folder(folder: Path) -> None:
    """Make the directory for finished cells, closed to others; ConfigError if something else has its name."""
    if not _must_be_ours(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another worker's
            folder.mkdir(mode=_MODE)  # at once, or that other one would see a folder that is not ours yet


def take_up(folder: Path, keys: Sequence[str]) -> dict[str, CellResult]:
    """Return what is kept in `folder` under any of `keys`; remove all else in it. ConfigError if not ours."""
    found: dict[str, CellResult] = {}
    wanted = set(keys)
    for file in sorted(folder.iterdir()) if _must_be_ours(folder) else ():
        result = _read(file) if file.name in wanted and not file.is_symlink() else None
        if result is None:
            file.unlink(missing_ok=True)
        else:
            found[file.name] = result
    return found


def run_and_keep(
    run_cell: RunCell, folder: Path, key: str, cell: Cell, image: Path | None, trace: bool
) -> CellResult:
    """Run a cell and keep its result under `key`; a function that a worker can import."""
    result = run_with_digest(run_cell, cell, image, trace)
    keep(folder, key, result)
    return result


def run_with_digest(run_cell: RunCell, cell: Cell, image: Path | None, trace: bool) -> CellResult:
    """Run a cell; its result names the image that it read."""
    return replace(run_cell(cell, image, trace), image_sha256=recorded_digest(image))


def keep(folder: Path, key: str, result: CellResult) -> None:
    """Keep a result under `key`, if it can be."""
    body = _packed(result)
    aside = folder / f".{key}.{os.getpid()}"
    with suppress(OSError, ConfigError):  # a result that cannot be kept is none the worse
        make_folder(folder)
        aside.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        aside.rename(folder / key)


def count_kept(target: Path) -> int:
    """Return how many finished cells are kept of an unfinished run into `target`."""
    folder = kept_folder(target)
    return sum(not file.name.startswith(".") for file in folder.glob("*")) if not folder.is_symlink() else 0


def forget(folder: Path) -> None:
    """Remove what is kept."""
    with suppress(ConfigError):
        if _must_be_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)


def forget_if_empty(folder: Path) -> None:
    """Remove the directory if it is ours and nothing is kept in it."""
    with suppress(OSError, ConfigError):
        if _must_be_ours(folder):
            folder.rmdir()


def _packed(result: CellResult) -> bytes:
    """Return a result as JSON; Python's floats survive it to the bit."""
    rows = {name: _values(getattr(result, name)) for name in _ROWS}
    histograms = {name: list(bins.items()) for name, bins in result.histograms.items()}
    said = {"metrics": result.metrics, "histograms": histograms, "image_sha256": result.image_sha256}
    columns = {name: packed(table) for name, table in result.columns.items()}
    return json.dumps(said | rows | {"columns": columns}).encode()


def _values(rows: list[Any]) -> list[list[Any]]:
    """Return the values of flat records of one kind, in the order of their fields."""
    names = [field.name for field in fields(rows[0])] if rows else []
    return [[getattr(row, name) for name in names] for row in rows]


def _read(file: Path) -> CellResult | None:
    """Return a kept result, or None if it is not whole and unchanged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        checksum, _, body = file.read_bytes().partition(b"\n")
        if checksum == hashlib.sha256(body).hexdigest().encode():
            said = json.loads(body)
            histograms = {name: dict(map(tuple, bins)) for name, bins in said["histograms"].items()}
            return CellResult(
                said["metrics"],
                [CallRow(*row) for row in said["calls"]],
                histograms,
                [IoRow(*row) for row in said["io"]],
                [ReadRow(*row) for row in said["reads"]],
                [JobRow(*row) for row in said["jobs"]],
                said["image_sha256"],
                {name: unpacked(table) for name, table in said["columns"].items()},
            )
    return None


_ROWS = ("calls", "io", "reads", "jobs")
