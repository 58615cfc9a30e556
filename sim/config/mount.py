"""
The [mount] table: ext4's mount options, where jobs write.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sim.config.table import Model
from sim.config.values import IntervalNs
from sim.units import NS_PER_S


class Mount(Model):
    """
    How the volume is mounted.

    data: "ordered" (data reaches its place before the transaction that points to it), "writeback" (in any
    order) or "journal" (through the log; delalloc is off then). dioread_nolock: None: where a block is a
    page, as in 6.1. barrier: flush the device's cache at commits. commit: interval of commits.
    """

    data: Literal["ordered", "writeback", "journal"] = "ordered"
    delalloc: bool = True
    dioread_nolock: bool | None = None
    barrier: bool = True
    journal_async_commit: bool = False
    commit_ns: IntervalNs = Field(default=5 * NS_PER_S, alias="commit")
