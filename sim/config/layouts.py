"""
How a file's blocks lie: the kinds of `layout`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.config.table import Model, custom
from sim.config.values import FileRef, PositiveBytes
from sim.units import KIB, PAGE_BYTES


class Contiguous(Model):
    """One extent, as long as the format allows."""

    kind: Literal["contiguous"]


class Fragmented(Model):
    """
    Extents of `extent` bytes, or of `extent_blocks` blocks; between them on disk lies another file.
    """

    kind: Literal["fragmented"]
    extent_bytes: PositiveBytes | None = Field(default=None, alias="extent")
    extent_blocks: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.extent_bytes is None) == (self.extent_blocks is None):
            raise custom("one length of extents is needed", "extent or extent_blocks")
        return self

    def blocks(self, block_size_bytes: int) -> int:
        """Return the length of an extent in blocks."""
        return self.extent_blocks or (self.extent_bytes or 0) // block_size_bytes


class Sparse(Model):
    """Data and holes in turn, `data` and `hole` bytes each, data first."""

    kind: Literal["sparse"]
    data_bytes: PositiveBytes = Field(default=PAGE_BYTES, alias="data")
    hole_bytes: PositiveBytes = Field(default=PAGE_BYTES, alias="hole")


class Unwritten(Model):
    """Allocated by fallocate and never written: reads give zeros."""

    kind: Literal["unwritten"]


class Hole(Model):
    """Its size and no block: what ftruncate(2) leaves. As much room as it has is free on the device."""

    kind: Literal["hole"]


class Empty(Model):
    """No byte yet: a job that only writes makes it as long as its size, for which there is room."""

    kind: Literal["empty"]


class Absent(Model):
    """Not there yet: a job that only writes makes it, as long as its size, for which there is room."""

    kind: Literal["absent"]


class Aged(Model):
    """
    Extents of random length, mean `extent` bytes, shuffled within `window` neighbours, other files' blocks
    between: a file system used for years. Of the runs, `hole_share` are holes, `unwritten_share` unwritten.
    """

    kind: Literal["aged"]
    seed: int = Field(default=0, ge=0)
    extent_bytes: PositiveBytes = Field(default=64 * KIB, alias="extent")
    hole_share: float = Field(default=0.05, ge=0, le=1)
    unwritten_share: float = Field(default=0.05, ge=0, le=1)
    window: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _shares_of_a_whole(self) -> Self:
        if self.hole_share + self.unwritten_share > 1:
            said = f"hole_share {self.hole_share} and unwritten_share {self.unwritten_share}"
            raise custom(said, "1 together, or less")
        return self


class Scattered(Model):
    """Written at random: extents of random length, mean `extent` bytes (a block), in random order."""

    kind: Literal["random"]
    seed: int = Field(default=0, ge=0)
    extent_bytes: PositiveBytes | None = Field(default=None, alias="extent")


class Recorded(Model):
    """A real file's layout: a FIEMAP list (JSON), or what `filefrag -v` prints."""

    kind: Literal["fiemap", "filefrag"]
    path: FileRef


Layout = Annotated[
    Contiguous | Fragmented | Sparse | Unwritten | Hole | Empty | Absent | Aged | Scattered | Recorded,
    Field(discriminator="kind"),
]
GROWING = ("empty", "absent")
"""Kinds of files that have no byte before a job writes them."""
