"""The bytes of a log: what is frozen, which sequence, and that the format's own reader understands them."""

from __future__ import annotations

import struct

import pytest

from sim.ext4.format.journal_blocks import COMMIT, DESCRIPTOR, HEADER, MAGIC, REVOKE, LogCompat, LogFormat
from sim.ext4.format.journal_blocks import LogIncompat as L
from sim.ext4.format.journal_super import LogSuperblock
from sim.fs.jbd2.log_bytes import LogBytes

SIZE = 1024
PLACES = [70, 10, 11, 12, 13, 14, 50, 51]
FORMATS = {
    "plain": LogFormat(SIZE, bytes(range(16)), L.REVOKE),
    "checksums": LogFormat(SIZE, bytes(range(16)), L.REVOKE | L.BIT64 | L.CSUM_V3),
    "sums": LogFormat(SIZE, bytes(range(16)), L.REVOKE | L.ASYNC_COMMIT, LogCompat.CHECKSUM),
}


class Blocks:
    """What blocks hold now: their number, and how often everything has changed."""

    def __init__(self) -> None:
        self.version = 0

    def now(self, block: int) -> bytes:
        """Return a block."""
        return struct.pack("<2I", block, self.version).ljust(SIZE, b"\xee")


def log_of(log_format: LogFormat, sequence: int = 9) -> tuple[LogBytes, Blocks]:
    """Return a log whose superblock has this sequence, and what is below."""
    blocks = Blocks()
    superblock = LogSuperblock.new(log_format, len(PLACES)).at(sequence, 0)
    return LogBytes(superblock, PLACES, blocks.now, epoch_s=1_700_000_000), blocks


@pytest.mark.parametrize("name", FORMATS)
def test_a_transaction(name: str) -> None:
    """Descriptor, blocks as they were frozen, record; the first transaction has the superblock's sequence."""
    log_format = FORMATS[name]
    log, below = log_of(log_format)
    log.freeze([100, 200])
    below.version = 1
    log.descriptor(1, [100, 200], [10, 11, 12])
    log.record(1, 13, 2_500_000_001)
    held = [log.held(place) for place in PLACES[1:5]]
    assert held[1:3] == [struct.pack("<2I", block, 0).ljust(SIZE, b"\xee") for block in (100, 200)]
    descriptor, record = held[0] or b"", held[3] or b""
    assert HEADER.unpack_from(descriptor) == (MAGIC, DESCRIPTOR, 9)
    assert HEADER.unpack_from(record) == (MAGIC, COMMIT, 9)
    assert [tag.block for tag in log_format.tags(descriptor)] == [100, 200]
    assert log_format.tail_is_right(descriptor)
    for tag, raw in zip(log_format.tags(descriptor), held[1:3], strict=True):
        assert log_format.data_is_right(tag, 9, raw or b"")
    assert struct.unpack_from(">QI", record, 0x30) == (1_700_000_002, 500_000_001)


def test_what_is_written_in_place_is_what_was_committed() -> None:
    """A block that has changed since is as it was frozen; one that was never frozen is unknown."""
    log, below = log_of(FORMATS["plain"])
    assert log.held(100) is None
    log.freeze([100])
    below.version = 1
    assert log.held(100) == struct.pack("<2I", 100, 0).ljust(SIZE, b"\xee")
    log.freeze([100])
    assert log.held(100) == struct.pack("<2I", 100, 1).ljust(SIZE, b"\xee")


def test_a_block_that_looks_like_the_log_is_escaped() -> None:
    """In the log its first bytes are zeros; in place they are its own."""
    raw = struct.pack(">I", MAGIC).ljust(SIZE, b"a")
    log = LogBytes(LogSuperblock.new(FORMATS["plain"], 8), PLACES, lambda _block: raw, 0)
    log.freeze([100])
    log.descriptor(1, [100], [10, 11])
    assert (log.held(11) or b"")[:5] == b"\0\0\0\0a"
    assert log.held(100) == raw
    assert FORMATS["plain"].tags(log.held(10) or b"")[0].escaped


def test_revocations() -> None:
    """As many blocks as it takes, each with as many as go in."""
    log_format = FORMATS["checksums"]
    log, _ = log_of(log_format)
    assert log.revocations_per_block == (SIZE - 16 - 4) // 8 == 125
    blocks = list(range(1000, 1126))
    log.revocations(2, blocks, [10, 11])
    found = []
    for place in (10, 11):
        raw = log.held(place) or b""
        assert HEADER.unpack_from(raw) == (MAGIC, REVOKE, 10)
        assert log_format.tail_is_right(raw)
        found += log_format.revoked(raw)
    assert found == blocks


def test_the_record_sums_its_own_transaction() -> None:
    """Version 1: CRC-32 of descriptors and blocks; the next record begins anew."""
    log, _ = log_of(FORMATS["sums"])
    log.freeze([100])
    log.descriptor(1, [100], [10, 11])
    log.record(1, 12, 0)
    log.record(2, 13, 0)
    first, second = [struct.unpack_from(">I", log.held(place) or b"", 0x10)[0] for place in (12, 13)]
    assert second == 0xFFFF_FFFF
    assert first != second


def test_the_tail() -> None:
    """The superblock says where the log begins, and with which sequence."""
    log, _ = log_of(FORMATS["checksums"])
    log.tail(3, 5)
    found = LogSuperblock.decode(log.held(70) or b"", "log")
    assert (found.sequence, found.start) == (11, 5)


def test_sequences_go_round() -> None:
    """Behind 2**32 - 1 comes 0."""
    log, _ = log_of(FORMATS["plain"], sequence=0xFFFF_FFFF)
    log.record(2, 12, 0)
    assert HEADER.unpack_from(log.held(12) or b"") == (MAGIC, COMMIT, 0)
