"""
Results of finished cells, kept aside until their run is whole, so that an interrupted one can go on.

    .<run directory>.cells/<key>    beside the run directory: SHA-256 of the rest, newline, JSON

The key is a hash of all that a result depends on: configuration, seed, whether it was traced, the code, and
the versions of Python and of the libraries. What has another key, or is not what its checksum says, is
removed and never used. A worker writes a result as soon as it has it, under another name first.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sim.config.cell import Cell, digest
from sim.config.cell_result import CallRow, CellResult, IoRow, ReadRow
from sim.experiment.results import versions

if TYPE_CHECKING:
    from sim.experiment.runner import RunCell


def kept_folder(target: Path) -> Path:
    """Return where the cells of an unfinished run into `target` are kept."""
    return target.with_name(f".{target.name}.cells")


def keys_of_cells(cells: Sequence[Cell], trace: bool) -> list[str]:
    """Return the key of each cell's result."""
    of = versions()
    return [digest([cell.config_hash, cell.seed, trace, of]) for cell in cells]


def take_up(folder: Path, keys: Sequence[str]) -> dict[str, CellResult]:
    """Return what is kept in `folder` under any of `keys`; remove all else in it."""
    found: dict[str, CellResult] = {}
    wanted = set(keys)
    for file in sorted(folder.glob("*")) if folder.is_dir() else ():
        result = _read(file) if file.name in wanted else None
        if result is None:
            file.unlink(missing_ok=True)
        else:
            found[file.name] = result
    return found


def run_and_keep(
    run_cell: RunCell, folder: Path, key: str, cell: Cell, image: Path | None, trace: bool
) -> CellResult:
    """Run a cell and keep its result under `key`; a function that a worker can import."""
    result = run_cell(cell, image, trace)
    body = _packed(result)
    aside = folder / f".{key}.{os.getpid()}"
    with suppress(OSError):  # a result that cannot be kept is none the worse
        folder.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        aside.rename(folder / key)
    return result


def count_kept(target: Path) -> int:
    """Return how many finished cells are kept of an unfinished run into `target`."""
    return sum(not file.name.startswith(".") for file in kept_folder(target).glob("*"))


def forget(folder: Path) -> None:
    """Remove what is kept."""
    shutil.rmtree(folder, ignore_errors=True)


def _packed(result: CellResult) -> bytes:
    """Return a result as JSON; Python's floats survive it to the bit."""
    rows = {name: [list(asdict(row).values()) for row in getattr(result, name)] for name in _ROWS}
    histograms = {name: list(bins.items()) for name, bins in result.histograms.items()}
    return json.dumps({"metrics": result.metrics, "histograms": histograms, **rows}).encode()


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
            )
    return None


_ROWS = ("calls", "io", "reads")
