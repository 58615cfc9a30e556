"""
The [faults] table: what is wrong with the device that is read.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sim.config.table import Model, custom

FaultKind = Literal["sector_error", "bit_flip", "transfer_flip", "misdirected_write", "lost_write"]
"""See sim.machine.faults.plan."""


class Faults(Model):
    """
    Blocks of the files that jobs read, drawn with the run's seed, and what is wrong with them.

    kind: "sector_error": one sector cannot be read; "bit_flip": one bit is another on the medium;
    "transfer_flip": one bit is another each time, drawn anew whenever a block is read; "misdirected_write":
    the block has been written to another's place, which has its contents now; "lost_write": the last write
    of it never came. The last two have the contents of before where nothing has come.
    on: which blocks: "data"; "tags": those with its checksums, or of Merkle trees; "metadata": of extent
    trees. rate: the share of them
    that is hit, each by itself; count: exactly so many, of other kinds than transfer_flip.
    """

    kind: FaultKind
    on: Literal["data", "tags", "metadata"] = "data"
    rate: float | None = Field(default=None, gt=0, le=1)
    count: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _how_many(self) -> Self:
        if (self.rate is None) == (self.count is None):
            raise custom("how many blocks are hit is said once", "rate = 0.01, or count = 8")
        if self.kind == "transfer_flip" and self.count is not None:
            raise custom("count with transfer_flip", "rate: it is drawn at each read of a block")
        return self
