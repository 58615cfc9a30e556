"""
Run directories: written aside, renamed when whole, the same to the byte for the same run.

    manifest.json       what was run: title, axes, every cell's configuration and hash, versions
    metrics.parquet     one row per cell and seed: labels of the axes, then metrics
    calls.parquet       one row per cell, seed, stack and context
    histograms.parquet  one row per cell, seed, histogram and bin
    failed.parquet      one row per cell and seed that could not be run, with its error; only if there are any
    jobs.parquet        one row per clone of a fio job, and per group that is reported as one
    io.parquet          one row per bio, with its stages; only of a traced run
    reads.parquet       one row per read(2); only of a traced run
    (and the tables of sim.experiment.traced_tables; only of a traced run)
    figures/            SVG and PNG
    run.log.json        when, how long, how many workers: the only file that differs between two runs

Units and meanings of the columns are in the Parquet schemas (field metadata `unit` and `about`).
"""

from __future__ import annotations

import errno
import json
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sim.config.cell import Cell, Experiment
from sim.config.cell_result import METRICS, CellResult, Currency
from sim.documents import read_json, short
from sim.errors import ConfigError
from sim.experiment.arrow_arrays import arrow_array
from sim.experiment.attempts import Failure
from sim.experiment.columns import CALLS, FAILED, HISTOGRAMS, IO, JOBS, KEYS, READS, column
from sim.experiment.notes import predicted_paths
from sim.experiment.run_document import WrongRunError, check_manifest, check_metrics, check_rows
from sim.experiment.traced_tables import write_traced
from sim.experiment.versions import versions
from sim.files import directory_beside

FORMAT = 1
"""Version of the run directory's layout; a reader of another one refuses it."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """
    A run directory, read.

    manifest: manifest.json. metrics, calls, histograms: rows as dicts, in the order written. A metrics row
    has `cell`, `seed`, `config_hash`, one column per axis (its label) and the metrics. jobs: rows of
    jobs.parquet; none of a run without fio jobs, or that was kept without them. failed: rows of
    failed.parquet: the cells that have no others.
    """

    path: Path
    manifest: dict[str, Any]
    metrics: list[Row]
    calls: list[Row]
    histograms: list[Row]
    jobs: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    _rows: dict[tuple[str, ...], dict[tuple[str, ...], list[Row]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def rows_at(self, fixed: Mapping[str, str]) -> list[Row]:
        """Return the metrics rows with these labels: of a cell, or of several if an axis is not named."""
        axes = tuple(fixed)
        if axes not in self._rows:
            index = self._rows[axes] = {}
            for row in self.metrics:
                index.setdefault(tuple(row[axis] for axis in axes), []).append(row)
        return self._rows[axes].get(tuple(fixed.values()), [])

    @property
    def axes(self) -> dict[str, list[str]]:
        """Axis -> its labels, both in file order."""
        return {axis["key"]: list(axis["labels"]) for axis in self.manifest["axes"]}

    @property
    def missing(self) -> int:
        """How many cells, times seeds, have no result: they failed, or their rows were taken away."""
        return len(self.manifest["cells"]) * len(self.manifest["seeds"]) - len(self.metrics)

    @property
    def currency(self) -> Currency:
        """What the run asked to be shown in: "instructions" if all of its cells did."""
        asked = {cell["config"]["machine"]["currency"] for cell in self.manifest["cells"]}
        return "instructions" if asked == {"instructions"} else "ns"


def manifest(experiment: Experiment, images: Mapping[int, str]) -> dict[str, Any]:
    """
    Return what manifest.json says: no time, no path of this machine, nothing that two runs differ in.

    images: cell -> SHA-256 of the image that was made for it (see `content_digest`).
    """
    first, predicted = experiment.seeds[0], predicted_paths(experiment)
    return {
        "format": FORMAT,
        "experiment": experiment.stem,
        "title": experiment.title,
        "question": experiment.question,
        "config_hash": experiment.config_hash,
        "axes": [{"key": key, "labels": list(labels)} for key, labels in experiment.axes],
        "seeds": list(experiment.seeds),
        "cells": [
            {
                "cell": cell.index,
                "labels": dict(cell.labels),
                "config_hash": cell.config_hash,
                "config": cell.config.canonical(),
                **({"image_sha256": images[cell.index]} if cell.index in images else {}),
            }
            for cell in experiment.cells
            if cell.seed == first
        ],
        **({"predicted": predicted} if predicted else {}),
        "versions": versions(experiment.cells),
        "platform": {"system": platform.system(), "machine": platform.machine()},
    }


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """
    Yield a new directory beside `target` that takes its place when the block ends without an error.

    A directory already there is replaced only then. On any error, Ctrl-C included, what was written is
    removed. Raises ConfigError if `target` is there and is not a run directory, or cannot be written.
    """
    check_replaceable(target)
    with directory_beside(target, "another -o DIR") as aside:
        yield aside
        replace_directory(aside, target)


def check_replaceable(target: Path) -> None:
    """Raise ConfigError unless a run directory may be put at `target`."""
    if target.name in ("", ".."):
        raise ConfigError(f"-o {str(target)!r}", "has no name of its own", "a new -o DIR")
    if target.is_dir():
        if any(target.iterdir()) and not (target / "manifest.json").is_file():
            raise ConfigError(str(target), "is not empty and not a run directory", "a new -o DIR")
    elif target.exists():
        raise ConfigError(str(target), "is not a directory", "a new -o DIR")


def replace_directory(new: Path, target: Path) -> None:
    """Put `new` where `target` is; the old one is renamed away first and deleted last."""
    if not target.exists():
        new.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent)) / target.name
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old.parent, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """Write plain values as indented JSON with a newline at the end; key order is the value's own."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_results(
    folder: Path, experiment: Experiment, cells: Sequence[Cell], outcomes: Sequence[CellResult | Failure]
) -> None:
    """Write manifest and tables of a run into `folder`; `outcomes` in the order of `cells`."""
    all_of_them = list(zip(cells, outcomes, strict=True))
    pairs = [(cell, outcome) for cell, outcome in all_of_them if isinstance(outcome, CellResult)]
    failed = [(cell, outcome) for cell, outcome in all_of_them if isinstance(outcome, Failure)]
    results = [result for _cell, result in pairs]
    images = {cell.index: result.image_sha256 for cell, result in pairs if result.image_sha256}
    write_json(folder / "manifest.json", manifest(experiment, images))
    if failed:
        _write(folder / "failed.parquet", _failed_rows(failed), FAILED)
    _write(folder / "metrics.parquet", _metrics_rows(pairs), _metrics_schema(experiment, results))
    _write(folder / "calls.parquet", _calls_rows(pairs), CALLS)
    _write(folder / "histograms.parquet", _histogram_rows(pairs), HISTOGRAMS)
    if any(result.jobs for result in results):
        _write(folder / "jobs.parquet", _job_rows(pairs), JOBS)
    if any(result.reads or result.columns for result in results):  # traced; of a job that writes, no reads
        _write(folder / "io.parquet", _trace_rows(pairs, "io"), IO)
        _write(folder / "reads.parquet", _trace_rows(pairs, "reads"), READS)
    write_traced(folder, pairs)


def run_of(experiment: Experiment, cells: Sequence[Cell], results: Sequence[CellResult]) -> Run:
    """Return what load_run() would give of a run of `cells` with these results, without any directory."""
    pairs = list(zip(cells, results, strict=True))
    first = experiment.seeds[0]
    said = {
        "experiment": experiment.stem,
        "title": experiment.title,
        "config_hash": experiment.config_hash,
        "axes": [{"key": key, "labels": list(labels)} for key, labels in experiment.axes],
        "seeds": list(experiment.seeds),
        "cells": [
            {"cell": cell.index, "config": cell.config.canonical()} for cell in cells if cell.seed == first
        ],
    }
    tables = (_metrics_rows(pairs), _calls_rows(pairs), _histogram_rows(pairs), _job_rows(pairs))
    return Run(Path(experiment.stem), said, *tables)


def _metrics_rows(pairs: list[tuple[Cell, CellResult]]) -> list[Row]:
    return [
        {
            "cell": cell.index,
            "seed": cell.seed,
            "config_hash": cell.config_hash,
            **dict(cell.labels),
            **result.metrics,
        }
        for cell, result in pairs
    ]


def _calls_rows(pairs: list[tuple[Cell, CellResult]]) -> list[Row]:
    return [
        {
            "cell": cell.index,
            "seed": cell.seed,
            "symbol": row.symbol,
            "stack": row.stack,
            "context": row.context,
            "calls": row.calls,
            "ns": row.ns,
            "instructions": row.instructions,
            "group": row.group,
        }
        for cell, result in pairs
        for row in sorted(result.calls, key=lambda row: (row.context, row.stack, row.symbol))
    ]


def _histogram_rows(pairs: list[tuple[Cell, CellResult]]) -> list[Row]:
    return [
        {"cell": cell.index, "seed": cell.seed, "histogram": name, "bin": size, "count": count}
        for cell, result in pairs
        for name, bins in sorted(result.histograms.items())
        for size, count in sorted(bins.items())
    ]


def _job_rows(pairs: list[tuple[Cell, CellResult]]) -> list[Row]:
    rows: list[Row] = []
    for cell, result in pairs:
        for job in result.jobs:
            said = asdict(job)
            latencies = {f"latency_{name}_ns": value for name, value in said.pop("latencies_ns").items()}
            rows.append({"cell": cell.index, "seed": cell.seed, **said, **latencies})
    return rows


def _failed_rows(failed: list[tuple[Cell, Failure]]) -> list[Row]:
    return [
        {
            "cell": cell.index,
            "seed": cell.seed,
            "labels": cell.name,
            "error": failure.error,
            "fault": bool(failure.fault),
        }
        for cell, failure in failed
    ]


def _trace_rows(pairs: list[tuple[Cell, CellResult]], table: str) -> list[Row]:
    return [
        {"cell": cell.index, "seed": cell.seed, **asdict(row)}
        for cell, result in pairs
        for row in getattr(result, table)
    ]


def _metrics_schema(experiment: Experiment, results: Sequence[CellResult]) -> pa.Schema:
    fields = [*KEYS, column("config_hash", pa.string(), "", "SHA-256 of the cell's configuration")]
    fields += [column(key, pa.string(), "", "label of the axis") for key, _ in experiment.axes]
    names = [name for name in METRICS if any(name in result.metrics for result in results)]
    names += sorted({name for result in results for name in result.metrics} - set(names))
    for name in names:
        values = [result.metrics[name] for result in results if name in result.metrics]
        unit, about = METRICS.get(name, ("", ""))
        if any(isinstance(value, str) for value in values):
            kind: pa.DataType = pa.string()
        else:
            kind = pa.float64() if any(isinstance(value, float) for value in values) else pa.int64()
        fields.append(column(name, kind, unit, about))
    return pa.schema(fields)


def _write(path: Path, rows: list[Row], schema: pa.Schema) -> None:
    # One row group, no dictionary heuristics that depend on memory: equal rows give equal bytes.
    columns = [arrow_array([row.get(field.name) for row in rows], field.type) for field in schema]
    table = pa.Table.from_arrays(columns, schema=schema)
    with path.open("wb") as file:  # by name, pyarrow writes only where names are UTF-8
        pq.write_table(table, file, compression="zstd", row_group_size=max(len(rows), 1))


def load_run(path: Path) -> Run:
    """
    Return a run directory.

    Raises ConfigError if `path` is none, is not whole, or is of another format.
    """
    try:
        manifest_file = path / "manifest.json"
        manifest_file.stat()  # what is not there is told as such
        said = read_json(manifest_file, str(manifest_file), _MADE)
        if said.get("format") != FORMAT:
            raise ConfigError(
                str(path), f"format {short(said.get('format'))} of another readpath", str(FORMAT)
            )
        check_manifest(said)
        metrics = _table(path / "metrics.parquet")
        check_metrics(metrics, said)
        rows: list[Row] = metrics.to_pylist()
        cells = {(row["cell"], row["seed"]) for row in rows}
        tables = {}
        for name, schema in (("calls", CALLS), ("histograms", HISTOGRAMS), ("jobs", JOBS)):
            if name != "jobs" or (path / "jobs.parquet").is_file():
                table = _table(path / f"{name}.parquet")
                check_rows(table, name, schema, cells)
                tables[name] = table.to_pylist()
        if (path / "failed.parquet").is_file():
            tables["failed"] = _failed(path / "failed.parquet", said, cells)
    except WrongRunError as error:
        raise ConfigError(str(path), f"is not a run directory ({error})", _MADE) from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError, pa.ArrowException) as error:
        what = f"no {error.filename}" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise ConfigError(str(path), f"is not a run directory ({what})", _MADE) from None
    return Run(path, said, rows, **tables)


_MADE = "what `readpath run` made"


def _table(path: Path) -> pa.Table:
    """Return a table; OSError, ArrowException if it cannot be read."""
    if not path.is_file():  # a FIFO would wait for a writer
        raise FileNotFoundError(errno.ENOENT, "no file", str(path))
    with path.open("rb") as file:
        table = pq.ParquetFile(file, pre_buffer=False)
        if table.metadata.num_rows > MOST_ROWS:
            raise WrongRunError(f"{path.name}: {table.metadata.num_rows} rows, more than {MOST_ROWS}")
        # No thread of pyarrow's may hold a file of Python's: one that asks for the interpreter's lock when
        # the interpreter ends is unwound through C++ that allows no exception, which aborts the process.
        return table.read(use_threads=False)


MOST_ROWS = 20_000_000
"""Of a table: 20,000 runs of a thousand stacks each. What says it has more is none of ours."""


def _failed(path: Path, said: dict[str, Any], cells: set[tuple[int, int]]) -> list[Row]:
    """Return the rows of failed.parquet: cells of the manifest that have no others."""
    table = _table(path)
    asked = {(cell["cell"], seed) for cell in said["cells"] for seed in said["seeds"]}
    check_rows(table, "failed", FAILED, asked - cells)
    rows: list[Row] = table.to_pylist()
    return rows


def draw_into(run: Path, draw: Callable[[Path], list[Path]]) -> list[Path]:
    """Call `draw` with a new folder, then put that folder where the run's figures/ is; return the files."""
    with tempfile.TemporaryDirectory(prefix=".figures.", dir=run) as scratch:
        aside = Path(scratch) / "figures"
        aside.mkdir()
        drawn = draw(aside)
        replace_directory(aside, run / "figures")
    return [run / "figures" / path.name for path in drawn]
