"""
The journal on disk (jbd2): its superblock, and transactions as a log of descriptor, blocks and commit record.

A transaction is descriptor blocks that say which blocks of the file system follow, these blocks, and a commit
block. The log goes round in the journal's blocks from the second on. What was in it stays there until it is
overwritten, whether it is still needed or not: an old copy of a block, say.

Source of the format: Documentation/filesystems/ext4/journal.rst, Linux 6.1. Big endian. Left out: checksums
(v2, v3), 64-bit block numbers, revoke blocks, fast commits, replay.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from sim.errors import ImageError
from sim.ext4.format.features import Compat
from sim.ext4.read.reader import Image

MAGIC = 0xC03B3998
DESCRIPTOR, COMMIT, SUPERBLOCK_V2 = 1, 2, 4
LEAST_BLOCKS = 1024
"""JBD2_MIN_JOURNAL_BLOCKS."""
JOURNAL_INODE = 8

_HEADER = struct.Struct(">3I")
_TAG = struct.Struct(">I2H")
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8
_UUID_BYTES = 16
_FIRST = 1
_INCOMPAT_AT, _START_AT = 0x28, 0x1C
_COMMIT_SECONDS_AT = 0x30

Written = tuple[int, bytes]
"""A block of the file system's device, and what it holds."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """
    What committing writes to the log, in order.

    logged: descriptor and metadata blocks. commit: the commit block, which makes them count.
    """

    logged: tuple[Written, ...]
    commit: Written


class Journal:
    """
    A log without checksums, in the blocks of its inode.

    blocks: where they lie. sequence: of the next transaction. head: where in the journal it will begin. tail:
    the first block that is still needed, 0 if none is: the log is empty.
    """

    def __init__(self, blocks: Sequence[int], block_size: int, uuid: bytes) -> None:
        if len(blocks) < LEAST_BLOCKS:
            raise ImageError("journal", f"{len(blocks)} blocks", f"{LEAST_BLOCKS} and more")
        self.blocks = blocks
        self.block_size = block_size
        self.uuid = uuid
        self.sequence = 1
        self.head = _FIRST
        self.tail = 0
        self._tail_sequence = 1

    @classmethod
    def of(cls, image: Image) -> Journal:
        """
        Return the journal of an image, its log empty; raise ImageError for one of a kind that is left out.

        The log goes on behind the last transaction that can be told.
        """
        sb = image.superblock
        if not sb.compat & Compat.HAS_JOURNAL or not sb.journal_inode:
            raise ImageError(image.name, "has no journal", "an image with a journal")
        extents = image.inode(sb.journal_inode).tree.extents
        blocks = [block for e in extents for block in range(e.physical, e.physical + e.length)]
        journal = cls(blocks, image.block_size, sb.uuid)
        raw = image.read_block(blocks[0])
        magic, kind, _ = _HEADER.unpack_from(raw)
        size, count, first, sequence, start = struct.unpack_from(">5I", raw, _HEADER.size)
        incompat = struct.unpack_from(">I", raw, _INCOMPAT_AT)[0]
        if magic != MAGIC or kind != SUPERBLOCK_V2 or size != image.block_size or first != _FIRST:
            raise ImageError(f"{image.name}: journal", "has no superblock of version 2")
        if incompat or start or count != len(blocks):
            problem = f"features {incompat:#x}, start {start}, {count} of {len(blocks)} blocks"
            raise ImageError(f"{image.name}: journal", problem, "no features, an empty log, all blocks")
        journal.sequence = journal._tail_sequence = sequence
        journal.head = journal._end_of_log(image)
        return journal

    def _end_of_log(self, image: Image) -> int:
        """Return the block behind the last commit record; 1 if it is not there."""
        for at in range(_FIRST, len(self.blocks)):
            magic, kind, sequence = _HEADER.unpack_from(image.read_block(self.blocks[at]))
            if (magic, kind, sequence) == (MAGIC, COMMIT, self.sequence - 1):
                return at + 1 if at + 1 < len(self.blocks) else _FIRST
        return _FIRST

    @property
    def tags_per_descriptor(self) -> int:
        """How many blocks one descriptor block can tell of."""
        room = self.block_size - _HEADER.size - _UUID_BYTES
        return (room - _UUID_BYTES) // _TAG.size  # the kernel leaves room for another UUID

    def commit(self, blocks: Sequence[Written], time_s: int = 0) -> Transaction:
        """
        Append a transaction of these blocks of the file system, each of block_size bytes.

        Raises ImageError if it is larger than the log.
        """
        if not self.tail:
            self.tail, self._tail_sequence = self.head, self.sequence
        descriptors = -(-len(blocks) // self.tags_per_descriptor)
        if len(blocks) + descriptors + 1 > len(self.blocks) - _FIRST:
            raise ImageError(
                "journal", f"{len(blocks)} blocks in a transaction", f"{len(self.blocks)} in all"
            )
        logged: list[Written] = []
        for first in range(0, len(blocks), self.tags_per_descriptor):
            part = blocks[first : first + self.tags_per_descriptor]
            logged.append((self._next(), self._descriptor(part)))
            logged += [(self._next(), _escaped(data)) for _, data in part]
        record = bytearray(self._header(COMMIT).ljust(self.block_size, b"\0"))
        struct.pack_into(">QI", record, _COMMIT_SECONDS_AT, time_s, 0)
        commit = (self._next(), bytes(record))
        self.sequence += 1
        return Transaction(tuple(logged), commit)

    def cleaned_up(self) -> None:
        """Note that all that was logged is in place: what is still needed begins where the log ends."""
        self.tail, self._tail_sequence = self.head, self.sequence

    def checkpointed(self) -> None:
        """Note that all that was logged is in place: the log is empty."""
        self.tail, self._tail_sequence = 0, self.sequence

    def superblock(self) -> Written:
        """Return the journal's superblock as it is now."""
        raw = bytearray(self._header(SUPERBLOCK_V2, 0).ljust(self.block_size, b"\0"))
        fields = (self.block_size, len(self.blocks), _FIRST, self._tail_sequence, self.tail)
        struct.pack_into(">5I", raw, _HEADER.size, *fields)
        raw[0x30:0x40] = self.uuid
        struct.pack_into(">I", raw, 0x40, 1)  # one user
        return self.blocks[0], bytes(raw)

    def _header(self, kind: int, sequence: int | None = None) -> bytes:
        return _HEADER.pack(MAGIC, kind, self.sequence if sequence is None else sequence)

    def _next(self) -> int:
        """Take the next block of the log."""
        block = self.blocks[self.head]
        self.head = self.head + 1 if self.head + 1 < len(self.blocks) else _FIRST
        return block

    def _descriptor(self, blocks: Sequence[Written]) -> bytes:
        raw = bytearray(self._header(DESCRIPTOR))
        for number, (block, data) in enumerate(blocks):
            flags = _ESCAPED if data[:4] == MAGIC.to_bytes(4, "big") else 0
            flags |= _SAME_UUID if number else 0
            flags |= _LAST if number + 1 == len(blocks) else 0
            raw += _TAG.pack(block, 0, flags)
            if not number:
                raw += self.uuid
        return bytes(raw.ljust(self.block_size, b"\0"))


def _escaped(data: bytes) -> bytes:
    """Return a block as it is logged: one that begins like the journal's own begins with zeros."""
    return bytes(4) + data[4:] if data[:4] == MAGIC.to_bytes(4, "big") else data
