"""
The blocks with checksums in memory: of a table, or of a file's list, in pages of the block device.

They are read as blocks of an extent tree are, one bio each, which merge under a plug; each is hashed once,
against its own checksum. Left out: reclaim (a block stays once it was read).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from sim.block.bio import Bio, Plug
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import Ledger
from sim.fs.buffer_cache import BufferCache

STACK: Final = "ext4_data_csum_read"


class _Awaited:
    """What goes on when so many blocks more have come."""

    __slots__ = ("argument", "left", "then")

    def __init__(self, left: int, then: Callable[[Any], None], argument: Any) -> None:
        self.left = left
        self.then = then
        self.argument = argument


class TagCache(BufferCache):
    """Blocks with checksums. read_blocks: how many were read."""

    def __init__(self, clock: Clock, ledger: Ledger, queue: BioQueue, block_size: int) -> None:
        super().__init__(clock, ledger, queue, block_size, None, STACK)
        self.read_blocks = 0
        self._awaited: dict[int, list[_Awaited]] = {}

    def missing(self, blocks: list[int]) -> list[int]:
        """Return those that are not in memory, those that are being read among them."""
        there = self._uptodate
        return [block for block in blocks if block not in there]

    def under_way(self, block: int) -> bool:
        """Tell whether a block is being read."""
        return block in self._reading

    def fresh(self, blocks: list[int]) -> int:
        """Return how many of these were not verified yet, and have them verified."""
        new = [block for block in blocks if block not in self._verified]
        self._verified.update(new)
        return len(new)

    def when_there(self, blocks: list[int], then: Callable[[Any], None], argument: Any) -> None:
        """Do `then(argument)` where the last of these blocks, which are missing, comes."""
        awaited = _Awaited(len(blocks), then, argument)
        for block in blocks:
            self._awaited.setdefault(block, []).append(awaited)

    def read(self, task: Task, blocks: list[int]) -> Generator[Any, Any, None]:
        """Have blocks in memory: read what is not, all at once, and wait for it."""
        plug = Plug()
        self.start(task, blocks, plug)
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)
        for block in blocks:
            if block not in self._uptodate:
                yield from self._read(task, block, plug)
        self._queue.finish_plug(task, plug)

    def done(self, bio: Bio) -> None:
        """Take a block in, and go on with what waits for it (EndIo)."""
        super().done(bio)
        block = bio.blocks[0][0]
        self.read_blocks += 1
        for awaited in self._awaited.pop(block, ()):
            awaited.left -= 1
            if not awaited.left:
                awaited.then(awaited.argument)
