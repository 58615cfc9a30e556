"""
From an experiment to a run directory: images, cells on one or more workers, tables, figures.

How many workers there are changes nothing but the time: cells share nothing, and results are kept in the
order of the cells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from sim.config.cell import Cell, Experiment
from sim.config.cell_result import CellResult
from sim.errors import ReadpathError
from sim.experiment.attempts import Failure, attempt, raise_if_all
from sim.experiment.finished_cells import (
    forget,
    forget_if_empty,
    keep,
    kept_folder,
    keys_of_cells,
    make_folder,
    run_and_keep,
    take_up,
)
from sim.experiment.notes import notes_of
from sim.experiment.results import (
    Run,
    check_replaceable,
    load_run,
    write_json,
    write_results,
    written_aside,
)
from sim.experiment.workers import Each, WorkerLostError, workers


class RunCell(Protocol):
    """Runs one cell; a function of a module, so that a worker process can import it."""

    def __call__(self, cell: Cell, image: Path | None, trace: bool) -> CellResult:
        """Return the result of `cell` on the volume's `image`, made or given."""
        ...


class Draw(Protocol):
    """Draws what a run has to show."""

    def __call__(self, run: Run, folder: Path, /, *, each: Each) -> object:
        """Draw figures of `run` into `folder`, their work shared out by `each`."""


def no_figures(_run: Run, _folder: Path, **_each: Each) -> None:
    """Draw nothing (Draw)."""


MakeImage = Callable[[Cell], Path | None]
"""Returns the image a cell reads, making it if needed; a function of a module or a partial of one."""


class Elsewhere(Protocol):
    """Runs cells on other machines."""

    def __call__(
        self, run_cell: RunCell, make_image: MakeImage, cells: Sequence[tuple[Cell, str]], trace: bool
    ) -> Iterator[tuple[str, CellResult | Failure]]:
        """Yield (key, result) of each of (cell, key), as they are ready."""
        ...


@dataclass(frozen=True)
class Progress:
    """
    Something was done: `done` of `total` of `what`; `name` says which.

    what: "kept" (cells taken up from an interrupted run, told once if there are any), "images", "cells",
    "figures".
    """

    what: str
    done: int
    total: int
    name: str


Watcher = Callable[[Progress], None]


def default_folder(experiment: Experiment, root: Path) -> Path:
    """Return where a run goes unless told otherwise: <root>/<stem>-<first 8 digits of the hash>."""
    return root / f"{experiment.stem}-{experiment.config_hash[:8]}"


def execute(
    experiment: Experiment,
    target: Path,
    run_cell: RunCell,
    make_image: MakeImage,
    *,
    draw: Draw,
    jobs: int = 1,
    trace: bool = False,
    watch: Watcher = lambda _progress: None,
    elsewhere: Elsewhere | None = None,
) -> Run:
    """
    Run all cells and return the run directory `target`, which appears when it is whole.

    draw: called with the run, its (new) folder for figures, and what shares out work. jobs: worker processes;
    1 = this process. trace: keep every bio and read(2) too. watch: called in this process after every image
    and cell. elsewhere: runs the cells instead of `jobs` processes, which then only draw.

    A cell that cannot be run, or whose image cannot be made, is a row of failed.parquet with its error, and
    the others are run. Only if none can be, the first error is raised (InvariantError if it is no
    ReadpathError); then, and on Ctrl-C, `target` stays as it was. Raises WorkerLostError if a worker process
    is killed. The results of cells that were finished when a run was interrupted or killed, or in which
    others failed, are kept aside, and a run with the same cells into the same `target` goes on from there.
    """
    check_replaceable(target)
    begun = datetime.now(UTC), time.monotonic()
    cells = list(experiment.cells)
    keys, kept = keys_of_cells(cells, trace), kept_folder(target)
    with written_aside(target) as folder, _kept_if_interrupted(kept):
        done = take_up(kept, keys)
        with suppress(OSError):  # no results are kept then
            make_folder(kept)
        taken_up = sum(key in done for key in keys)
        if taken_up:
            watch(Progress("kept", taken_up, len(cells), experiment.stem))
        failed: dict[str, Failure] = {}
        rest = [(cell, key) for cell, key in zip(cells, keys, strict=True) if key not in done]
        with workers(jobs if elsewhere is None else 1) as each:
            if elsewhere is None:
                ran = _here(run_cell, make_image, rest, kept, trace, each, watch)
            else:
                ran = _kept_here(elsewhere(run_cell, make_image, rest, trace), kept)
            names = {key: cell.name for cell, key in rest}
            for at, (key, result) in enumerate(ran, start=taken_up + 1):
                if isinstance(result, Failure):
                    failed[key] = result
                else:
                    done[key] = result
                watch(Progress("cells", at, len(cells), names[key]))
            results = raise_if_all([failed.get(key) or done[key] for key in keys])
            write_results(folder, experiment, cells, results)
            (folder / "figures").mkdir()
            draw(load_run(folder), folder / "figures", each=each)
        log = _log(begun, jobs, taken_up) | _remarks(experiment, failed)
        write_json(folder / "run.log.json", log)
    if not failed:  # else the same command tries those again, and takes up the others
        forget(kept)
    return load_run(target)


def _here(
    run_cell: RunCell,
    make_image: MakeImage,
    cells: Sequence[tuple[Cell, str]],
    kept: Path,
    trace: bool,
    each: Each,
    watch: Watcher,
) -> Iterator[tuple[str, CellResult | Failure]]:
    """Yield (key, result) of cells in order: images first, then cells on what `each` shares out to."""
    images = _images_of([cell for cell, _ in cells], make_image, each, watch)
    runs = [(_ran, run_cell, kept, key, cell, images[volume_key(cell)], trace) for cell, key in cells]
    for (_, key), result in zip(cells, each(attempt, runs), strict=True):
        yield key, result


def _kept_here(
    results: Iterator[tuple[str, CellResult | Failure]], kept: Path
) -> Iterator[tuple[str, CellResult | Failure]]:
    """Keep what comes from elsewhere as it comes, so that a client that is killed can go on."""
    for key, result in results:
        if not isinstance(result, Failure):
            keep(kept, key, result)
        yield key, result


def _remarks(experiment: Experiment, failed: dict[str, Failure]) -> dict[str, Any]:
    """Return what a reader of the log is told of the run: notes, and the faults of cells that failed."""
    notes = notes_of(experiment)
    faults = [failure.fault for failure in failed.values() if failure.fault]
    return ({"notes": notes} if notes else {}) | ({"faults": faults} if faults else {})


def _log(begun: tuple[datetime, float], jobs: int, taken_up: int) -> dict[str, Any]:
    """Return what differs between two runs. begun: when, on the calendar and on a clock that never jumps."""
    started, clock = begun
    return {
        "started": started.isoformat(timespec="seconds"),
        "wall_s": round(time.monotonic() - clock, 3),
        "workers": jobs,
        "cells_taken_up": taken_up,
    }


def _images_of(
    cells: Sequence[Cell], make_image: MakeImage, each: Each, watch: Watcher
) -> dict[str, Path | Failure | None]:
    """Return the image of every volume that the cells read, or why there is none, by `volume_key`."""
    volumes = distinct_volumes(cells)
    images: dict[str, Path | Failure | None] = {}
    made = each(attempt, [(make_image, cell) for cell in volumes.values()])
    for key, image in zip(volumes, made, strict=True):
        images[key] = image
        watch(Progress("images", len(images), len(volumes), volumes[key].name))
    return images


@contextmanager
def _kept_if_interrupted(kept: Path) -> Iterator[None]:
    """Forget finished cells when there can be no run: what comes next is another configuration."""
    try:
        yield
    except WorkerLostError:
        raise
    except ReadpathError:
        forget(kept)
        raise
    finally:
        forget_if_empty(kept)


def _ran(
    run_cell: RunCell, kept: Path, key: str, cell: Cell, image: Path | Failure | None, trace: bool
) -> CellResult | Failure:
    """Run a cell and keep its result; without an image it fails as that did. A worker can import it."""
    return image if isinstance(image, Failure) else run_and_keep(run_cell, kept, key, cell, image, trace)


def volume_key(cell: Cell) -> str:
    config = cell.config
    return f"{config.volume!r} {config.encryption!r} {config.checksums.of_the_image()}"


def distinct_volumes(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Return the first cell of each volume, by volume, in order."""
    volumes: dict[str, Cell] = {}
    for cell in cells:
        volumes.setdefault(volume_key(cell), cell)
    return volumes
