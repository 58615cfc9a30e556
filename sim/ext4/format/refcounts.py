"""
Reference counts of shared blocks: sorted records of runs, as XFS' refcount btree has them in its leaves.

    block: 4 magic "rprc"   4 records   records   zeros   4 CRC-32C of all before it
    record: 8 first block   4 blocks   4 files that have them

Little endian. Only runs of two files and more are there: a block without a record is one file's, or free.
A block is a leaf: its records are in order, and no other leaf has one between them. In which order leaves lie
is nobody's business: one that is full is cut in two, and the second half goes where there is room. A leaf may
be empty.
Not ext4's, which has no such thing (see sim.ext4.edit.reflink for where it lies).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from itertools import pairwise

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
    return [encode_leaf(runs[at : at + room], block_size) for at in range(0, max(len(runs), 1), room)]


def encode_leaf(runs: Iterable[Record], block_size: int) -> bytes:
    """Return the block that holds some records."""
    packed = [_RECORD.pack(*run) for run in runs]
    said = (_HEAD.pack(_MAGIC, len(packed)) + b"".join(packed)).ljust(block_size - _CRC_BYTES, b"\0")
    return said + crc32c(0xFFFF_FFFF, said).to_bytes(_CRC_BYTES, "little")


def decode_leaf(raw: bytes, place: str) -> list[Record]:
    """
    Return the records of a block; ImageError, naming `place`, for a wrong checksum or magic, records out of
    order, and counts that need none.
    """
    if crc32c(0xFFFF_FFFF, raw[:-_CRC_BYTES]) != int.from_bytes(raw[-_CRC_BYTES:], "little"):
        raise ImageError(place, "the checksum of the reference counts is wrong", "as it was written")
    magic, records = _HEAD.unpack_from(raw)
    if magic != _MAGIC or records > records_per_block(len(raw)):
        raise ImageError(place, f"{records} records", f"at most {records_per_block(len(raw))}")
    found: list[Record] = []
    for at in range(_HEAD.size, _HEAD.size + records * _RECORD.size, _RECORD.size):
        first, length, count = _RECORD.unpack_from(raw, at)
        if (found and first < found[-1][0] + found[-1][1]) or not length or count < 2:
            raise ImageError(place, f"{count} files have {length} blocks from {first}", "runs in order, of 2")
        found.append((first, length, count))
    return found


def decode_leaves(blocks: Iterable[bytes], place: str) -> list[list[Record]]:
    """
    Return the records of each block; ImageError, naming `place`, for one that is damaged (see decode_leaf),
    and for two that overlap.
    """
    leaves = [decode_leaf(bytes(raw), f"{place}: block {number}") for number, raw in enumerate(blocks)]
    spans = sorted((leaf[0][0], sum(leaf[-1][:2]), number) for number, leaf in enumerate(leaves) if leaf)
    for (_, end, _), (first, _, number) in pairwise(spans):
        if first < end:
            raise ImageError(f"{place}: block {number}", f"has block {first}, as another", "leaves apart")
    return leaves


def decode(blocks: Iterable[bytes], place: str) -> dict[int, int]:
    """Return the counts in some blocks; raises as decode_leaves."""
    counts: dict[int, int] = {}
    for leaf in decode_leaves(blocks, place):
        for first, length, count in leaf:
            counts.update(dict.fromkeys(range(first, first + length), count))
    return counts
