"""
The superblock of a log (jbd2), version 2: its first block.

Source of the format: Documentation/filesystems/ext4/journal.rst, Linux 6.1. Big endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from sim.errors import ImageError
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.journal_blocks import HEADER, MAGIC, SUPERBLOCK_V2, LogCompat, LogFormat, LogIncompat

SUPERBLOCK_BYTES = 1024
_STATIC = struct.Struct(">5I")
_FEATURES_AT, _UUID_AT, _USERS_AT = 0x24, 0x30, 0x40
_ERRNO_AT = 0x20
_CHECKSUM_KIND_AT, _CHECKSUM_AT = 0x50, 0xFC
_CRC32C = 4
KNOWN = (
    LogIncompat.REVOKE
    | LogIncompat.BIT64
    | LogIncompat.ASYNC_COMMIT
    | LogIncompat.CSUM_V2
    | LogIncompat.CSUM_V3
)


@dataclass(frozen=True)
class LogSuperblock:
    """
    What is recorded of a log.

    blocks: of the log, its superblock counted. first: where the ring begins. sequence, start: the first
    transaction that is needed, and its first block; start 0: none is. raw: the bytes it was read from, whose
    other fields are kept.
    """

    format: LogFormat
    blocks: int
    first: int
    sequence: int
    start: int
    raw: bytes

    @classmethod
    def new(cls, log_format: LogFormat, blocks: int) -> LogSuperblock:
        """Return the superblock of a new log, empty, of one file system."""
        raw = bytearray(log_format.block_size)
        raw[_UUID_AT : _UUID_AT + 16] = log_format.uuid
        struct.pack_into(">I", raw, _USERS_AT, 1)
        return cls(log_format, blocks, 1, 1, 0, bytes(raw))

    @classmethod
    def decode(cls, raw: bytes, place: str) -> LogSuperblock:
        """
        Read a superblock; `raw`: the log's first block. Raises ImageError, naming `place`.

        A log with fast commits, on another device or of version 1 is left out.
        """
        magic, kind, _ = HEADER.unpack_from(raw)
        size, blocks, first, sequence, start = _STATIC.unpack_from(raw, HEADER.size)
        if magic != MAGIC or kind != SUPERBLOCK_V2 or size != len(raw):
            raise ImageError(place, "has no superblock of version 2")
        compat, incompat, ro_compat = struct.unpack_from(">3I", raw, _FEATURES_AT)
        if incompat & ~KNOWN or ro_compat:
            raise ImageError(
                place,
                f"has features {incompat:#x} and read-only {ro_compat:#x}",
                f"{int(KNOWN):#x}: no fast commits",
            )
        log_format = LogFormat(
            size,
            raw[_UUID_AT : _UUID_AT + 16],
            LogIncompat(incompat),
            LogCompat(compat & LogCompat.CHECKSUM),
        )
        found = cls(log_format, blocks, first, sequence, start, bytes(raw))
        if log_format.has_checksums and found._checksum() != struct.unpack_from(">I", raw, _CHECKSUM_AT)[0]:
            raise ImageError(place, "the checksum of its superblock is wrong")
        if not 0 < first < blocks or (start and not first <= start < blocks):
            raise ImageError(place, f"goes from block {first} to {blocks} and begins at {start}")
        return found

    @property
    def errno(self) -> int:
        """The error that a kernel has noted, 0 if none."""
        return int(struct.unpack_from(">i", self.raw, _ERRNO_AT)[0])

    def at(self, sequence: int, start: int) -> LogSuperblock:
        """Return the superblock with another first transaction."""
        return replace(self, sequence=sequence, start=start)

    def with_format(self, log_format: LogFormat) -> LogSuperblock:
        """Return the superblock with other features."""
        return replace(self, format=log_format)

    def without_error(self) -> LogSuperblock:
        """Return the superblock without the error that was noted."""
        raw = bytearray(self.raw)
        struct.pack_into(">i", raw, _ERRNO_AT, 0)
        return replace(self, raw=bytes(raw))

    def encode(self) -> bytes:
        """Return the block."""
        raw = bytearray(self.raw)
        HEADER.pack_into(raw, 0, MAGIC, SUPERBLOCK_V2, 0)
        _STATIC.pack_into(
            raw, HEADER.size, self.format.block_size, self.blocks, self.first, self.sequence, self.start
        )
        struct.pack_into(">2I", raw, _FEATURES_AT, self.format.compat, self.format.incompat)
        if self.format.has_checksums:
            raw[_CHECKSUM_KIND_AT] = _CRC32C
            struct.pack_into(">I", raw, _CHECKSUM_AT, replace(self, raw=bytes(raw))._checksum())
        return bytes(raw)

    def _checksum(self) -> int:
        bare = self.raw[:_CHECKSUM_AT] + bytes(4) + self.raw[_CHECKSUM_AT + 4 : SUPERBLOCK_BYTES]
        return crc32c(0xFFFF_FFFF, bare)
