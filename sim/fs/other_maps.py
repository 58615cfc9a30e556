"""
Block mapping of other file systems, to set up what was measured on them: an indirect map, a linear list.

There is no status cache, and a call costs what its walk costs. Where the blocks lie is the image's layout.

`IndirectMapper`: ext2 and ext3 (ext3_get_blocks_handle() of 2.6.16 to 4.2), see
sim/ext4/format/indirect.py. A call maps a contiguous run within one block of pointers, and says BOUNDARY at
its end: what is mapped next needs I/O that is probably close, so what was gathered goes out first. A file
whose image has a block map gets its blocks of pointers read when first needed; for any other file they are
taken as in memory.

`LinearMapper`: UDF (udf_get_block() -> inode_bmap()): the list of extents is walked from its start, one block
mapped a call; `remembers`: from the extent of the last call, as since Linux 3.10.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.ext4.format.indirect import POINTER_BYTES, block_path, blocks_to_boundary
from sim.fs.buffer_cache import BufferCache
from sim.fs.mapper import InodeMap, Mapper, known_run
from sim.fs.status_cache import END_OF_BLOCKS, WRITTEN, Mapped


@mypyc_attr(allow_interpreted_subclasses=True)
class _WalkingMapper(Mapper):
    """What both share: an answer's price depends on the block, and nothing is remembered."""

    def __init__(self, ledger: Ledger, buffers: BufferCache, symbol: str) -> None:
        super().__init__(ledger, buffers, symbol, by_block=True)

    def map(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """Map up to `want` blocks from `block` in one call."""
        self.charge_hits(task, imap, 1, block)
        yield from self._bring(task, imap, block, plug)
        found = known_run(imap, block)
        return found.cut(min(found.length, want, self.reach(block)))

    def map_each(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """Map up to `want` blocks from `block` with one call per block, within one block of pointers."""
        found = known_run(imap, block)
        length = min(found.length, want, self._same_node(block))
        self.charge_hits(task, imap, length, block)
        yield from self._bring(task, imap, block, plug)
        return found.cut(length)

    def would_sleep(self, imap: InodeMap, block: int, blocks: int) -> bool:
        """Return whether mapping [block, block + blocks) may have to read a block of pointers."""
        known_run(imap, block)
        if imap.indirect is not None:
            at = block
            while at < block + blocks:
                if not self.buffers.holds(imap.indirect.chain(at)):
                    return True
                at += self._same_node(at)
        return False

    def walkable(self, imap: InodeMap, block: int, blocks: int) -> int:
        """Return how many of `blocks` from `block` the same walk finds; 0 if it has to wait."""
        within = min(blocks, self._same_node(block))
        return 0 if self.would_sleep(imap, block, within) else within

    def reach(self, block: int) -> int:
        """Return how many blocks from `block` one call may map."""
        raise NotImplementedError

    def _same_node(self, block: int) -> int:
        """Return how many blocks from `block` are found by the same walk."""
        return self.reach(block)

    def _bring(self, task: Task, imap: InodeMap, block: int, plug: Plug) -> Generator[Any, Any, None]:
        """Have the blocks of pointers on the way to `block` in memory."""
        if imap.indirect is not None:
            chain = imap.indirect.chain(block)
            if not self.buffers.holds(chain):
                for node in chain:
                    yield from self.buffers.get(task, node, plug)


@mypyc_attr(allow_interpreted_subclasses=True)
class IndirectMapper(_WalkingMapper):
    """The block map of ext2 and ext3."""

    def __init__(self, ledger: Ledger, buffers: BufferCache, block_size: int) -> None:
        handle = "ext3_get_blocks_handle"
        super().__init__(ledger, buffers, handle)
        self.per_block = block_size // POINTER_BYTES
        branch = f"{handle};ext3_get_branch"
        self._s_call = ledger.site(
            TASK, "", f"{handle} {handle};ext3_block_to_path {branch}", unit="ext3_get_branch"
        )

    def charge_hits(
        self,
        task: Task,
        imap: InodeMap,  # noqa: ARG002
        calls: int,
        block: int = 0,
        kind: int = WRITTEN,  # noqa: ARG002
    ) -> None:
        """Charge `calls` calls from `block` on, one a block: each walks the levels to its block."""
        levels, at, stop = 0, block, block + calls
        while at < stop:
            end = min(stop, at + self.reach(at))
            levels += (end - at) * (len(block_path(at, self.per_block)) - 1)
            at = end
        task.ps += self._s_call.charge_units(calls, levels)

    def reach(self, block: int) -> int:
        """Return how many blocks from `block` the same block of pointers maps."""
        return blocks_to_boundary(block, self.per_block)

    def boundary(self, end: int) -> bool:
        """Return whether a map that ends before block `end` has BOUNDARY."""
        return end > 0 and self.reach(end - 1) == 1


@mypyc_attr(allow_interpreted_subclasses=True)
class LinearMapper(_WalkingMapper):
    """UDF's list of extents. remembers: a call starts at the extent of the last one."""

    def __init__(self, ledger: Ledger, buffers: BufferCache, remembers: bool) -> None:
        super().__init__(ledger, buffers, "udf_get_block")
        self._remembers = remembers
        self._s_call = ledger.site(
            TASK,
            "",
            "udf_get_block udf_get_block;inode_bmap udf_get_block;inode_bmap;udf_next_aext",
            unit="udf_next_aext",
        )

    def charge_hits(
        self,
        task: Task,
        imap: InodeMap,
        calls: int,
        block: int = 0,
        kind: int = WRITTEN,  # noqa: ARG002
    ) -> None:
        """Charge `calls` calls from `block` on, one a block: each walks the extents up to its own."""
        steps = calls
        if not self._remembers:
            steps = sum(max(bisect_right(imap.firsts, at), 1) for at in range(block, block + calls))
        task.ps += self._s_call.charge_units(calls, steps)

    def reach(self, block: int) -> int:  # noqa: ARG002
        """udf_get_block() maps one block."""
        return 1

    def _same_node(self, block: int) -> int:  # noqa: ARG002
        return END_OF_BLOCKS
