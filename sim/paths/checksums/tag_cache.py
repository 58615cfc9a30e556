"""
The blocks with checksums in memory: of a table, or of a file's list, in pages of the block device.

They are read as blocks of an extent tree are, one bio each, which merge under a plug; each is hashed once,
against its own checksum, as it came from the device. One that could not be read, or has not its checksum, is
not kept: who asks for it next reads it again, as btrfs does with a leaf that is not up to date. Left out:
reclaim (a good block stays once it was read).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from sim.block.bio import Bio, Plug
from sim.block.media import Noticed
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import Ledger
from sim.ext4.store import ByteStore
from sim.fs.buffer_cache import BufferCache
from sim.units import SECTOR_BYTES

STACK: Final = "ext4_data_csum_read"


class _Awaited:
    """What goes on when so many blocks more have come."""

    __slots__ = ("argument", "left", "then")

    def __init__(self, left: int, then: Callable[[Any], None], argument: Any) -> None:
        self.left = left
        self.then = then
        self.argument = argument


class TagCache(BufferCache):
    """
    Blocks with checksums. read_blocks: how many were read. contents: of those that came, by block.

    device: its bytes, None with data off. noticed: who is told of blocks that cannot be read, or are bad.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        queue: BioQueue,
        block_size: int,
        device: ByteStore | None = None,
        noticed: Noticed | None = None,
    ) -> None:
        super().__init__(clock, ledger, queue, block_size, None, STACK)
        self.read_blocks = 0
        self.contents: dict[int, bytes] = {}
        self._device = device
        self._noticed = noticed
        self._failed: set[int] = set()
        self._awaited: dict[int, list[_Awaited]] = {}

    def missing(self, blocks: list[int]) -> list[int]:
        """Return those that are not in memory, those that are being read among them."""
        there = self._uptodate
        return [block for block in blocks if block not in there]

    def to_come(self, blocks: list[int]) -> list[int]:
        """Return those that are not in memory and were not read in vain, or are being read again."""
        return [
            block for block in self.missing(blocks) if block in self._reading or block not in self._failed
        ]

    def under_way(self, block: int) -> bool:
        """Tell whether a block is being read."""
        return block in self._reading

    def has_failed(self, block: int) -> bool:
        """Tell whether a block was read in vain, and not again since."""
        return block in self._failed

    def unverified(self, blocks: list[int]) -> list[int]:
        """Return which of these, all in memory, nobody has verified."""
        return [block for block in blocks if block not in self._verified]

    def fresh(self, blocks: list[int]) -> int:
        """Return how many of these were not verified yet, and have them verified."""
        new = self.unverified(blocks)
        self._verified.update(new)
        return len(new)

    def refuse(self, block: int) -> None:
        """Do not keep a block, which has come, and is not what it should be."""
        self._uptodate.discard(block)
        self._verified.discard(block)
        self.contents.pop(block, None)
        self._failed.add(block)
        if self._noticed is not None:
            self._noticed.found_bad(block)

    def when_there(self, blocks: list[int], then: Callable[[Any], None], argument: Any) -> None:
        """Do `then(argument)` where the read of the last of these blocks, which are missing, ends."""
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
            if block in self._reading:
                yield from self._read(task, block, plug)
        self._queue.finish_plug(task, plug)

    def done(self, bio: Bio) -> None:
        """Take a block in, and go on with what waits for it (EndIo)."""
        block = bio.blocks[0][0]
        self.read_blocks += 1
        if bio.failed:
            self._failed.add(block)
            if self._noticed is not None:
                self._noticed.failed(bio.sector, bio.sectors)
            self._ended(bio, block)
        else:
            self._failed.discard(block)
            if self._device is not None:
                at = bio.sector * SECTOR_BYTES
                self.contents[block] = bytes(self._device.read(at, self._block_size))
            super().done(bio)
        for awaited in self._awaited.pop(block, ()):
            awaited.left -= 1
            if not awaited.left:
                awaited.then(awaited.argument)
