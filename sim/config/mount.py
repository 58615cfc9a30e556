"""
The [mount] table: ext4's mount options, where jobs write.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sim.config.table import Model, custom
from sim.config.values import IntervalNs
from sim.units import NS_PER_S


class Mount(Model):
    """
    How the volume is mounted.

    data: "ordered" (data reaches its place before the transaction that points to it), "writeback" (in any
    order) or "journal" (through the log; delalloc is off then). dioread_nolock: None: where a block is a
    page, as in 6.1. barrier: flush the device's cache at commits. journal_async_commit: the commit record
    goes with the rest; as in 6.1 not with "ordered" (ext4_load_and_init_journal()). commit: interval of
    commits.
    """

    data: Literal["ordered", "writeback", "journal"] = "ordered"
    delalloc: bool = True
    dioread_nolock: bool | None = None
    barrier: bool = True
    journal_async_commit: bool = False
    commit_ns: IntervalNs = Field(default=5 * NS_PER_S, alias="commit")

    @model_validator(mode="after")
    def _can_be_mounted(self) -> Self:
        if self.journal_async_commit and self.data == "ordered":
            raise custom('journal_async_commit with data "ordered"', 'data = "writeback" or "journal"')
        return self
