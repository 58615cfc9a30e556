"""
Reference counts of shared blocks: sorted records of runs, as XFS' refcount btree has them in its leaves.

    block: 4 magic "rprc"   4 records   records   zeros   4 CRC-32C of all before it
    record: 8 first block   4 blocks   4 files that have them

Little endian. Only runs of two files and more are there: a block without a record is one file's, or free.
Not ext4's, which has no such thing (see sim.ext4.edit.reflink for where it lies).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from sim.errors import ImageError
from sim.ext4.format.crc32c import crc32c

_HEAD = struct.Struct("<4sI")
_RECORD = struct.Struct("<QII")
_CRC_BYTES = 4
_MAGIC = b"rprc"
_MOST = (1 << 32) - 1

Record = tuple[int, int, int]
"""(first block, blocks, files)"""


def records_per_block(block_size: int) -> int:
    """Return how many records a block holds."""
    return (block_size - _HEAD.size - _CRC_BYTES) // _RECORD.size


def runs_of(counts: Mapping[int, int]) -> list[Record]:
    """Return counts by block as records in order; counts below 2 have none."""
    runs: list[Record] = []
    for block, count in sorted(counts.items()):
        if count < 2:
            continue
        if runs and runs[-1][0] + runs[-1][1] == block and runs[-1][2] == count and runs[-1][1] < _MOST:
            first, length, _count = runs[-1]
            runs[-1] = (first, length + 1, count)
        else:
            runs.append((block, 1, count))
    return runs


def encode(counts: Mapping[int, int], block_size: int) -> list[bytes]:
    """Return the blocks that hold counts: at least one."""
    runs, room = runs_of(counts), records_per_block(block_size)
    return [_block(runs[at : at + room], block_size) for at in range(0, max(len(runs), 1), room)]


def _block(runs: Iterable[Record], block_size: int) -> bytes:
    packed = [_RECORD.pack(*run) for run in runs]
    said = (_HEAD.pack(_MAGIC, len(packed)) + b"".join(packed)).ljust(block_size - _CRC_BYTES, b"\0")
    return said + crc32c(0xFFFF_FFFF, said).to_bytes(_CRC_BYTES, "little")


def decode(blocks: Iterable[bytes], place: str) -> dict[int, int]:
    """
    Return the counts in some blocks; ImageError, naming `place`, for a block with a wrong checksum or magic,
    records out of order, and counts that need none.
    """
    counts: dict[int, int] = {}
    last = -1
    for number, raw in enumerate(blocks):
        where = f"{place}: block {number}"
        if crc32c(0xFFFF_FFFF, raw[:-_CRC_BYTES]) != int.from_bytes(raw[-_CRC_BYTES:], "little"):
            raise ImageError(where, "the checksum of the reference counts is wrong", "as it was written")
        magic, records = _HEAD.unpack_from(raw)
        if magic != _MAGIC or records > records_per_block(len(raw)):
            raise ImageError(where, f"{records} records", f"at most {records_per_block(len(raw))}")
        for at in range(_HEAD.size, _HEAD.size + records * _RECORD.size, _RECORD.size):
            first, length, count = _RECORD.unpack_from(raw, at)
            if first <= last or not length or count < 2:
                raise ImageError(
                    where, f"{count} files have {length} blocks from {first}", "runs in order, of 2"
                )
            last = first + length - 1
            counts.update(dict.fromkeys(range(first, first + length), count))
    return counts
