"""
What a run directory must say to be one: its manifest's form, and that its tables speak of the same cells.

A run is kept for years, copied, and edited by hand: what tables, figures and claims take from it is checked
here once, so that none of them has to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sim.config.cell_result import GROUPS, METRICS, Currency

Row = dict[str, Any]
NEEDED = ("bytes_read", "pages_read", "cpu_ns", "cpu_ns_per_4k")
"""Metrics that every row has. The others are null, or not there, where they do not apply."""
MOST_LETTERS = 10_000
"""Of a text in a table or a manifest: titles and stacks have some hundred."""


class WrongRunError(Exception):
    """What is said cannot be a run's: in a few words."""


class _Said(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class _Machine(_Said):
    profile: str | dict[str, str]
    memory_bytes: int = Field(ge=1)
    currency: Currency
    cost_scale: float = Field(default=1.0, gt=0, strict=False)


class _Volume(_Said):
    block_size_bytes: Literal[1024, 2048, 4096] | None


class _Job(_Said):
    rw: str
    bs_split: list[Any] | None
    bs_range_bytes: list[Any] | None


class _Workload(_Said):
    jobs: list[_Job] = []
    browser_cache: dict[str, Any] | None = None


class _Code(_Said):
    """A part of the user's own (CodeRef)."""

    file: str
    name: str
    sha256: str


class _Config(_Said):
    machine: _Machine
    volume: _Volume
    workload: _Workload
    path: str | _Code


class _Cell(_Said):
    cell: int = Field(ge=0)
    labels: dict[str, str]
    config_hash: str
    config: _Config


class _Axis(_Said):
    key: str
    labels: list[str]


class _Versions(_Said):
    readpath: str
    model: str


class _Manifest(_Said):
    experiment: str
    title: str
    config_hash: str = Field(min_length=1)
    axes: list[_Axis]
    seeds: list[int] = Field(min_length=1)
    cells: list[_Cell] = Field(min_length=1)
    versions: _Versions
    predicted: dict[str, str] = Field(default_factory=dict)


def check_manifest(said: Any) -> None:
    """Raise WrongRunError unless a manifest has all that readers of a run take from it."""
    try:
        manifest = _Manifest.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise WrongRunError(f"manifest.json: {where}: {first['msg']}") from None
    axes = {axis.key: axis.labels for axis in manifest.axes}
    if len(axes) < len(manifest.axes):
        raise WrongRunError("manifest.json: axes: one is there twice")
    numbers = [cell.cell for cell in manifest.cells]
    if len(set(numbers)) < len(numbers) or len(set(manifest.seeds)) < len(manifest.seeds):
        raise WrongRunError("manifest.json: a cell or a seed is there twice")
    for cell in manifest.cells:
        if cell.labels.keys() != axes.keys() or any(cell.labels[key] not in axes[key] for key in axes):
            raise WrongRunError(f"manifest.json: cell {cell.cell}: labels that are not those of the axes")


def check_metrics(table: pa.Table, said: Any) -> None:
    """Raise WrongRunError unless metrics.parquet has a row, with its numbers, for cells of the manifest."""
    axes = [axis["key"] for axis in said["axes"]]
    known: dict[str, pa.DataType] = dict.fromkeys(("config_hash", *axes), pa.string())
    known |= {"cell": pa.int32(), "seed": pa.int64()}
    _check_types(table, "metrics", known)
    for field in table.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if field.name in METRICS and not number:
            raise WrongRunError(f"metrics.parquet: {field.name}: {field.type} is no number")
    _check_whole(table, "metrics", (*known, *NEEDED))
    labels = {cell["cell"]: cell["labels"] for cell in said["cells"]}
    there = set()
    for row in table.to_pylist():
        at = row["cell"], row["seed"]
        if row["seed"] not in said["seeds"] or at in there:
            raise WrongRunError(f"metrics.parquet: cell {at[0]} seed {at[1]}: not asked for, or there twice")
        if {axis: row[axis] for axis in axes} != labels.get(row["cell"]):
            raise WrongRunError(f"metrics.parquet: cell {at[0]} has other labels than in manifest.json")
        there.add(at)
    if not there:
        raise WrongRunError("metrics.parquet: no rows")


def check_rows(table: pa.Table, name: str, schema: pa.Schema, cells: set[tuple[int, int]]) -> None:
    """Raise WrongRunError unless a table has the columns of `schema`, and speaks of `cells` (cell, seed)."""
    _check_types(table, name, {field.name: field.type for field in schema})
    needed = [field for field in schema.names if not field.startswith("latency_")]
    _check_whole(table, name, needed)
    said = set(zip(table.column("cell").to_pylist(), table.column("seed").to_pylist(), strict=True))
    if said - cells:
        raise WrongRunError(f"{name}.parquet: cells that metrics.parquet does not have")
    if name != "calls":
        return
    if cells - said:
        raise WrongRunError("calls.parquet: cells without a call")
    groups = {str(group) for group in table.column("group").to_pylist()} - set(GROUPS)
    if groups:
        raise WrongRunError(f"calls.parquet: group {min(groups)!r} is not known")


def _check_types(table: pa.Table, name: str, types: Mapping[str, pa.DataType]) -> None:
    for column, kind in types.items():
        if table.column_names.count(column) != 1:
            raise WrongRunError(f"{name}.parquet: {column}: is missing, or there twice")
        if table.schema.field(column).type != kind:
            raise WrongRunError(f"{name}.parquet: {column}: {table.schema.field(column).type}, not {kind}")


def _check_whole(table: pa.Table, name: str, needed: Sequence[str]) -> None:
    """No nulls where there is always a value; numbers are finite and not below 0, texts of sane length."""
    missing = [column for column in needed if column not in table.column_names]
    if missing or len(set(table.column_names)) < table.num_columns:
        raise WrongRunError(f"{name}.parquet: {', '.join(missing) or 'a column'}: missing, or there twice")
    for field in table.schema:
        column = table.column(field.name)
        if field.name in needed and column.null_count:
            raise WrongRunError(f"{name}.parquet: {field.name}: a row has none")
        for value in column.to_pylist():
            least = -1 if name == "metrics" else 0  # -1: not compared
            if isinstance(value, int | float) and not (math.isfinite(value) and value >= least):
                raise WrongRunError(f"{name}.parquet: {field.name}: {value} is no value of it")
            if isinstance(value, str) and len(value) > MOST_LETTERS:
                raise WrongRunError(f"{name}.parquet: {field.name}: a text of {len(value)} letters")
