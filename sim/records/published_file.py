"""
measured.toml: published measurements, and the machines that ours stands for; see published.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from sim.config.table import Model, custom
from sim.documents import read_toml
from sim.experiment.error_lines import from_validation

Labels = dict[str, str]
Figure = Annotated[float, Field(strict=False, gt=0, allow_inf_nan=False)]


class FittedMachine(Model):
    """A machine that ours stands for, fitted on one cell, or two; see the module."""

    name: str
    experiment: str
    cell: Labels
    metric: str
    measured: Figure
    about: str
    small_cell: Labels = Field(default_factory=dict)
    small_measured: Figure | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.small_cell) != (self.small_measured is not None):
            raise custom(f"{self.name} has one of small_cell and small_measured", "both, or neither")
        return self


class PublishedRow(Model):
    """
    One measured value, or the ratio of two: after, before. over: labels of the cell to divide by.

    fitted: a constant of ours was fitted on it.
    """

    label: str
    cell: Labels
    over: Labels = Field(default_factory=dict)
    metric: str = ""
    measured: Figure | None = None
    ratio: Annotated[tuple[Figure, Figure], Field(strict=False)] | None = None
    fitted: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.measured is None) == (self.ratio is None) or bool(self.over) != (self.ratio is not None):
            raise custom("a row is a value or a ratio", "measured, or ratio with over")
        return self


class PublishedNumber(Model):
    """
    A published measurement; reason: why it is out of reach, if it is.

    repeats: relative, how far its source differs from himself on the same machine, where that is known.
    """

    id: str
    what: str
    source: str
    experiment: str = ""
    machine: str = ""
    metric: str = ""
    unit: str = ""
    stands_for: str = ""
    reason: str = ""
    repeats: Figure | None = None
    rows: tuple[PublishedRow, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _reached_or_not(self) -> Self:
        if bool(self.rows) == bool(self.reason) or bool(self.rows) != bool(self.experiment):
            raise custom(f"{self.id} has rows, or a reason why not", "rows with experiment, or reason")
        return self


class PublishedFile(Model):
    machine: tuple[FittedMachine, ...] = Field(default=(), strict=False)
    number: tuple[PublishedNumber, ...] = Field(strict=False, min_length=1)


def parse(path: Path) -> PublishedFile:
    try:
        return PublishedFile.model_validate(raw := read_toml(path, str(path), "experiments/published"))
    except ValidationError as error:
        raise from_validation(error, PublishedFile, raw, str(path)) from None
