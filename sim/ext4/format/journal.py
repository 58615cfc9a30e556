"""
The journal on disk (jbd2): transactions that are appended to its log.

A transaction is blocks of revocations, descriptor blocks that say which blocks of the file system follow,
these blocks, and a commit block. The log goes round in the journal's blocks from the second on. What was in
it stays there until it is overwritten, whether it is still needed or not: an old copy of a block, say.

Source of the format: Documentation/filesystems/ext4/journal.rst, Linux 6.1. Left out: fast commits, a journal
on a device of its own. Reading a log: sim.ext4.read.replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.errors import ImageError
from sim.ext4.format.features import Compat
from sim.ext4.format.journal_blocks import COMMIT, DESCRIPTOR, HEADER, MAGIC, SEQUENCES, LogFormat, Written
from sim.ext4.format.journal_super import LogSuperblock
from sim.ext4.read.reader import Image

__all__ = [
    "COMMIT",
    "DESCRIPTOR",
    "JOURNAL_INODE",
    "LEAST_BLOCKS",
    "MAGIC",
    "Journal",
    "Transaction",
    "Written",
]

LEAST_BLOCKS = 1024
"""JBD2_MIN_JOURNAL_BLOCKS."""
JOURNAL_INODE = 8
_FIRST = 1


@dataclass(frozen=True, slots=True)
class Transaction:
    """
    What committing writes to the log, in order.

    logged: revocations, descriptors and their blocks. commit: the commit block, which makes them count.
    """

    logged: tuple[Written, ...]
    commit: Written


class Journal:
    """
    A log in the blocks of its inode.

    blocks: where they lie. sequence: of the next transaction. head: where in the journal it will begin. tail:
    the first block that is still needed, 0 if none is: the log is empty. format: of its blocks.
    """

    def __init__(
        self, blocks: Sequence[int], block_size: int, uuid: bytes, log_format: LogFormat | None = None
    ) -> None:
        """A new log, empty; without `log_format` one without features."""
        if len(blocks) < LEAST_BLOCKS:
            raise ImageError("journal", f"{len(blocks)} blocks", f"{LEAST_BLOCKS} and more")
        self.blocks = blocks
        self.block_size = block_size
        self.format = log_format or LogFormat(block_size, uuid)
        self.sequence = 1
        self.head = _FIRST
        self.tail = 0
        self._tail_sequence = 1
        self._superblock = LogSuperblock.new(self.format, len(blocks))

    @classmethod
    def of(cls, image: Image) -> Journal:
        """
        Return the journal of an image, its log empty; raise ImageError for one of a kind that is left out.

        The log goes on behind the last transaction that can be told.
        """
        blocks, superblock = log_of(image)
        if superblock.first != _FIRST or superblock.start or superblock.blocks != len(blocks):
            problem = f"begins at block {superblock.first}, start {superblock.start}, "
            problem += f"{superblock.blocks} of {len(blocks)} blocks"
            raise ImageError(f"{image.name}: journal", problem, "block 1, an empty log, all blocks")
        journal = cls(blocks, image.block_size, superblock.format.uuid, superblock.format)
        journal._superblock = superblock
        journal.sequence = journal._tail_sequence = superblock.sequence
        journal.head = journal._end_of_log(image)
        return journal

    def _end_of_log(self, image: Image) -> int:
        """Return the block behind the last commit record; 1 if it is not there."""
        for at in range(_FIRST, len(self.blocks)):
            magic, kind, sequence = HEADER.unpack_from(image.read_block(self.blocks[at]))
            if (magic, kind, sequence) == (MAGIC, COMMIT, (self.sequence - 1) % SEQUENCES):
                return at + 1 if at + 1 < len(self.blocks) else _FIRST
        return _FIRST

    @property
    def tags_per_descriptor(self) -> int:
        """How many blocks one descriptor block can tell of."""
        return self.format.tags_per_descriptor

    @property
    def free_blocks(self) -> int:
        """Blocks of the log that are not needed any more (jbd2_log_space_left without its margin)."""
        ring = len(self.blocks) - _FIRST
        return ring - (self.head - self.tail) % ring if self.tail else ring

    def with_format(self, log_format: LogFormat) -> None:
        """Have the log's features changed, as a mount does; it has to be empty."""
        if self.tail:
            raise ImageError("journal", "is to change its features with transactions in it", "an empty log")
        self.format = log_format
        self._superblock = replace(self._superblock, format=log_format)

    def commit(
        self, blocks: Sequence[Written], time_s: int = 0, revoked: Sequence[int] = (), time_ns: int = 0
    ) -> Transaction:
        """
        Append a transaction of these blocks of the file system, each of block_size bytes.

        revoked: blocks of which no older copy may be replayed. Raises ImageError if there is no room for it.
        """
        logged = self.format.revocations(self.sequence, revoked)
        summed: list[bytes] = []
        for first in range(0, len(blocks), self.tags_per_descriptor):
            part = blocks[first : first + self.tags_per_descriptor]
            summed += self.format.descriptor(self.sequence, part)
        logged += summed
        if len(logged) + 1 > self.free_blocks:
            problem = f"{len(blocks)} blocks in a transaction are {len(logged) + 1} of the log"
            raise ImageError("journal", problem, f"{self.free_blocks} that are free")
        if not self.tail:
            self.tail, self._tail_sequence = self.head, self.sequence
        placed = tuple((self._next(), raw) for raw in logged)
        record = (self._next(), self.format.commit(self.sequence, time_s, time_ns, summed))
        self.sequence = (self.sequence + 1) % SEQUENCES
        return Transaction(placed, record)

    def checkpointed_before(self, sequence: int, head: int) -> None:
        """Note that all before a transaction, which begins at block `head`, is in place."""
        self.tail, self._tail_sequence = head, sequence

    def cleaned_up(self) -> None:
        """Note that all that was logged is in place: what is still needed begins where the log ends."""
        self.checkpointed_before(self.sequence, self.head)

    def checkpointed(self) -> None:
        """Note that all that was logged is in place: the log is empty."""
        self.tail, self._tail_sequence = 0, self.sequence

    def superblock(self) -> Written:
        """Return the journal's superblock as it is now."""
        return self.blocks[0], self._superblock.at(self._tail_sequence, self.tail).encode()

    def _next(self) -> int:
        """Take the next block of the log."""
        block = self.blocks[self.head]
        self.head = self.head + 1 if self.head + 1 < len(self.blocks) else _FIRST
        return block


def log_of(image: Image) -> tuple[list[int], LogSuperblock]:
    """
    Return where the blocks of an image's journal lie, and its superblock.

    Raises ImageError if there is none, or if it lies on another device, has a hole or is of a kind that is
    left out.
    """
    sb = image.superblock
    if not sb.compat & Compat.HAS_JOURNAL or not sb.journal_inode:
        raise ImageError(image.name, "has no journal", "an image with a journal")
    place = f"{image.name}: journal"
    blocks: list[int] = []
    for extent in image.inode(sb.journal_inode).tree.extents:
        if extent.logical != len(blocks):
            raise ImageError(place, f"has a hole at block {len(blocks)}")
        blocks += range(extent.physical, extent.physical + extent.length)
    if not blocks:
        raise ImageError(place, "has no blocks")
    superblock = LogSuperblock.decode(bytes(image.read_block(blocks[0])), place)
    if superblock.blocks > len(blocks):
        raise ImageError(place, f"has {superblock.blocks} blocks by its superblock", f"{len(blocks)}")
    return blocks, superblock
