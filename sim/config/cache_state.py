"""
The [cache] table: what the kernel knows before the first read.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from sim.config.table import Model, custom


class SomePages(Model):
    """
    Some pages of each file that is read: every n-th from page 0 on, or a share drawn with the run's seed.

    buffers: they are not up to date but carry buffer heads, of which the first uptodate_blocks are: see
    `initial_cache`.
    """

    every: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    buffers: bool = False
    uptodate_blocks: int = Field(default=0, ge=0, le=3)

    @model_validator(mode="after")
    def _one_pattern(self) -> Self:
        if (self.every is None) == (self.share is None):
            raise custom("which pages are cached is said once", "every = N, or share = 0.25")
        if self.uptodate_blocks and not self.buffers:
            raise custom("uptodate_blocks without buffers", "buffers = true with it")
        return self


class Cache(Model):
    """
    What the kernel knows before the first read.

    status: "warm" = every extent is in the extent status cache; "es_cold" = that cache was cleared, the
    extent tree's blocks are still in memory; "all_cold" = freshly mounted. pages: what the page cache holds
    of the files that are read: nothing, all that fits in memory, or some.
    """

    status: Literal["warm", "es_cold", "all_cold"] = "warm"
    pages: Annotated[
        Annotated[Literal["empty", "warm"], Tag("word")] | Annotated[SomePages, Tag("table")],
        Discriminator(lambda value: "table" if isinstance(value, dict | SomePages) else "word"),
    ] = "empty"
