"""
Block mapping of other file systems, to set up what was measured on them: an indirect map, a linear list.

Both answer from what lies in memory: their metadata blocks are read before and kept, there is no status
cache, and a call costs what its walk costs. Where the blocks lie is the image's layout.

`IndirectMapper`: ext2 and ext3 (ext3_get_blocks_handle() of 2.6.16 to 4.2). 12 direct blocks, then 1-, 2- and
3-fold indirect blocks; a call maps a contiguous run within one indirect block. Left out: reading the indirect
blocks (1 in 1,024 blocks of data), and with it BOUNDARY.

`LinearMapper`: UDF (udf_get_block() -> inode_bmap()): the list of extents is walked from its start, one block
mapped a call; `remembers`: from the extent of the last call, as since Linux 3.10.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from typing import Any

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.paths.buffer_cache import BufferCache
from sim.paths.map_blocks import InodeMap, Mapper
from sim.paths.status_cache import Mapped

DIRECT_BLOCKS = 12
ADDRESS_BYTES = 4


class _InMemoryMapper(Mapper):
    """What both share: every answer is known, and its price depends on the block."""

    by_block = True

    def map(
        self,
        task: Task,
        imap: InodeMap,
        block: int,
        want: int,
        plug: Plug,  # noqa: ARG002  # nothing sleeps
    ) -> Generator[Any, Any, Mapped]:
        """Map up to `want` blocks from `block` in one call."""
        yield from ()  # a generator, as the paths expect; it never waits
        self.charge_hits(task, imap, 1, block)
        found = self._known(imap, block)
        return found._replace(length=min(found.length, want, self._reach(block)))

    def map_each(
        self,
        task: Task,
        imap: InodeMap,
        block: int,
        want: int,
        plug: Plug,  # noqa: ARG002  # nothing sleeps
    ) -> Generator[Any, Any, Mapped]:
        """Map up to `want` blocks from `block` with one call per block."""
        yield from ()
        found = self._known(imap, block)
        length = min(found.length, want)
        self.charge_hits(task, imap, length, block)
        return found._replace(length=length)

    def would_sleep(self, imap: InodeMap, block: int, blocks: int) -> bool:  # noqa: ARG002
        """Nothing is ever waited for."""
        self._known(imap, block)
        return False

    def _known(self, imap: InodeMap, block: int) -> Mapped:
        found = imap.status.lookup(block)
        if found is None:
            imap.status.fill()
            found = imap.status.lookup(block)
            assert found is not None
        return found

    def _reach(self, block: int) -> int:
        """Return how many blocks from `block` one call may map."""
        raise NotImplementedError


class IndirectMapper(_InMemoryMapper):
    """The block map of ext2 and ext3."""

    def __init__(self, ledger: Ledger, buffers: BufferCache, block_size: int) -> None:
        super().__init__(ledger, buffers)
        self.per_block = block_size // ADDRESS_BYTES
        handle = "ext3_get_blocks_handle"
        branch = f"{handle};ext3_get_branch"
        self._s_call = ledger.site(
            TASK, "", f"{handle} {handle};ext3_block_to_path {branch}", unit="ext3_get_branch"
        )

    def depth(self, block: int) -> int:
        """Return how many indirect blocks lie on the way to a block: 0 to 3."""
        rest, reach = block - DIRECT_BLOCKS, self.per_block
        depth = 0
        while rest >= 0:
            depth += 1
            rest -= reach
            reach *= self.per_block
        return depth

    def charge_hits(self, task: Task, imap: InodeMap, calls: int, block: int = 0) -> None:  # noqa: ARG002
        """Charge `calls` calls from `block` on, one a block: each walks the levels to its block."""
        levels, at, stop = 0, block, block + calls
        while at < stop:
            end = min(stop, at + self._reach(at))
            levels += (end - at) * self.depth(at)
            at = end
        task.ps += self._s_call.charge_units(calls, levels)

    def _reach(self, block: int) -> int:
        if block < DIRECT_BLOCKS:
            return DIRECT_BLOCKS - block
        return self.per_block - (block - DIRECT_BLOCKS) % self.per_block


class LinearMapper(_InMemoryMapper):
    """UDF's list of extents. remembers: a call starts at the extent of the last one."""

    def __init__(self, ledger: Ledger, buffers: BufferCache, remembers: bool) -> None:
        super().__init__(ledger, buffers)
        self._remembers = remembers
        self._s_call = ledger.site(
            TASK,
            "",
            "udf_get_block udf_get_block;inode_bmap udf_get_block;inode_bmap;udf_next_aext",
            unit="udf_next_aext",
        )

    def charge_hits(self, task: Task, imap: InodeMap, calls: int, block: int = 0) -> None:
        """Charge `calls` calls from `block` on, one a block: each walks the extents up to its own."""
        steps = calls
        if not self._remembers:
            steps = sum(max(bisect_right(imap.firsts, at), 1) for at in range(block, block + calls))
        task.ps += self._s_call.charge_units(calls, steps)

    def _reach(self, block: int) -> int:  # noqa: ARG002  # udf_get_block() maps one block
        return 1
