"""
The blocks of a log in bytes: descriptors, logged blocks, revocations, commit records, in every form there is.

    feature of the log              a tag   a checksum of
    none                            8 B     nothing
    64BIT                           12 B    nothing
    compatible: CHECKSUM            8, 12   a transaction's descriptors and blocks, in its commit (CRC-32)
    CSUM_V2                         10, 14  each block of the log (CRC-32C), of a logged one 16 bits of it
    CSUM_V3                         16      each block of the log (CRC-32C)

Source of the format: Documentation/filesystems/ext4/journal.rst, Linux 6.1; include/linux/jbd2.h for what is
not told there (the lengths of tags, where revocations end). Big endian. Left out: fast commits.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from sim.errors import ImageError
from sim.ext4.format.crc32c import crc32c

MAGIC = 0xC03B3998
DESCRIPTOR, COMMIT, SUPERBLOCK_V1, SUPERBLOCK_V2, REVOKE = 1, 2, 3, 4, 5

HEADER = struct.Struct(">3I")
"""Magic, kind of block, sequence of the transaction."""
SEQUENCES = 1 << 32
"""Sequences go round (tid_t)."""
_TAG = struct.Struct(">I2H")
_TAG_V3 = struct.Struct(">4I")
_HIGH = struct.Struct(">I")
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8
_UUID_BYTES = 16
_TAIL_BYTES = 4
_REVOKES_FROM = HEADER.size + 4
_COMMIT_SUM_KIND_AT, _COMMIT_SUM_AT, _COMMIT_TIME_AT = 0x0C, 0x10, 0x30
_COMMIT_TIME = struct.Struct(">QI")
_CRC32_KIND, _CRC32_BYTES = 1, 4

Written = tuple[int, bytes]
"""A block of the file system's device, and what it holds."""


class LogCompat(enum.IntFlag):
    """Features of a log that who does not know them may ignore."""

    CHECKSUM = 0x1


class LogIncompat(enum.IntFlag):
    """Features of a log that who reads it must know."""

    REVOKE = 0x1
    BIT64 = 0x2
    ASYNC_COMMIT = 0x4
    CSUM_V2 = 0x8
    CSUM_V3 = 0x10
    FAST_COMMIT = 0x20


NO_COMPAT, NO_INCOMPAT = LogCompat(0), LogIncompat(0)


@dataclass(frozen=True, slots=True)
class Tag:
    """
    What a descriptor says of a logged block: where its place is, what of it was changed in the log.

    checksum: as it is recorded, 16 or 32 bits; 0 without checksums.
    """

    block: int
    escaped: bool
    checksum: int


@dataclass(frozen=True)
class LogFormat:
    """
    The form of a log's blocks. uuid: the log's own, 16 bytes, by which all checksums begin.

    Raises ImageError for features that exclude each other.
    """

    block_size: int
    uuid: bytes
    incompat: LogIncompat = NO_INCOMPAT
    compat: LogCompat = NO_COMPAT

    def __post_init__(self) -> None:
        kinds = (LogIncompat.CSUM_V2 in self.incompat) + (LogIncompat.CSUM_V3 in self.incompat)
        if kinds + (LogCompat.CHECKSUM in self.compat) > 1:
            raise ImageError("journal", "has checksums of several versions", "of one version")

    @property
    def has_checksums(self) -> bool:
        """Whether each block has a checksum of its own (versions 2 and 3)."""
        return bool(self.incompat & (LogIncompat.CSUM_V2 | LogIncompat.CSUM_V3))

    @property
    def sums_transactions(self) -> bool:
        """Whether a commit record has one of the whole transaction (version 1)."""
        return LogCompat.CHECKSUM in self.compat

    @property
    def commits_asynchronously(self) -> bool:
        """Whether a commit record may have come to the disk before what it commits."""
        return LogIncompat.ASYNC_COMMIT in self.incompat

    @property
    def tag_bytes(self) -> int:
        """Bytes of a tag (journal_tag_bytes)."""
        if LogIncompat.CSUM_V3 in self.incompat:
            return _TAG_V3.size
        wide = _HIGH.size if LogIncompat.BIT64 in self.incompat else 0
        return _TAG.size + wide + (2 if LogIncompat.CSUM_V2 in self.incompat else 0)

    @property
    def tail_bytes(self) -> int:
        """Bytes at the end of a descriptor or a block of revocations: its checksum."""
        return _TAIL_BYTES if self.has_checksums else 0

    @property
    def tags_per_descriptor(self) -> int:
        """How many blocks one descriptor tells of; the kernel leaves room for a second UUID."""
        room = self.block_size - HEADER.size - 2 * _UUID_BYTES - self.tail_bytes
        return room // self.tag_bytes

    @property
    def revocation_bytes(self) -> int:
        """Bytes of a revoked block's number."""
        return 8 if LogIncompat.BIT64 in self.incompat else 4

    @property
    def revocations_per_block(self) -> int:
        """How many revocations a block holds."""
        return (self.block_size - _REVOKES_FROM - self.tail_bytes) // self.revocation_bytes

    @property
    def _seed(self) -> int:
        return crc32c(0xFFFF_FFFF, self.uuid)

    # -- writing -------------------------------------------------------------------------------------

    def descriptor(self, sequence: int, blocks: Sequence[Written]) -> list[bytes]:
        """
        Return a descriptor and the blocks that it tells of, as they are logged.

        blocks: at most tags_per_descriptor, each of block_size bytes. One that begins like a block of the log
        is logged with zeros there.
        """
        raw = bytearray(HEADER.pack(MAGIC, DESCRIPTOR, sequence))
        logged = [escaped(data) for _, data in blocks]
        for number, ((block, data), as_logged) in enumerate(zip(blocks, logged, strict=True)):
            flags = _ESCAPED if data[:4] != as_logged[:4] else 0
            flags |= _SAME_UUID if number else 0
            flags |= _LAST if number + 1 == len(blocks) else 0
            raw += self._tag(block, flags, self._data_sum(sequence, as_logged))
            if not number:
                raw += self.uuid
        if len(raw) > self.block_size - self.tail_bytes or not blocks:
            raise ImageError(
                "journal", f"{len(blocks)} blocks in a descriptor", f"1 to {self.tags_per_descriptor}"
            )
        return [self._with_tail(raw), *logged]

    def _tag(self, block: int, flags: int, checksum: int) -> bytes:
        low, high = block & 0xFFFF_FFFF, block >> 32
        if high and LogIncompat.BIT64 not in self.incompat:
            raise ImageError("journal", f"block {block} in a log without 64BIT", f"0 to {0xFFFF_FFFF}")
        if LogIncompat.CSUM_V3 in self.incompat:
            return _TAG_V3.pack(low, flags, high, checksum)
        raw = _TAG.pack(low, checksum & 0xFFFF, flags)
        if LogIncompat.BIT64 in self.incompat:
            raw += _HIGH.pack(high)
        return raw.ljust(self.tag_bytes, b"\0")

    def revocations(self, sequence: int, blocks: Sequence[int]) -> list[bytes]:
        """Return the blocks that revoke these blocks of the file system; none for none."""
        code = ">Q" if self.revocation_bytes == 8 else ">I"
        found: list[bytes] = []
        for first in range(0, len(blocks), self.revocations_per_block):
            part = blocks[first : first + self.revocations_per_block]
            end = _REVOKES_FROM + len(part) * self.revocation_bytes
            raw = bytearray(HEADER.pack(MAGIC, REVOKE, sequence) + end.to_bytes(4, "big"))
            for block in part:
                raw += struct.pack(code, block)
            found.append(self._with_tail(raw))
        return found

    def commit(self, sequence: int, time_s: int, time_ns: int, logged: Sequence[bytes]) -> bytes:
        """
        Return a transaction's commit record.

        logged: its descriptors and their blocks in the order of the log, of which a checksum of version 1 is.
        """
        raw = bytearray(HEADER.pack(MAGIC, COMMIT, sequence).ljust(self.block_size, b"\0"))
        _COMMIT_TIME.pack_into(raw, _COMMIT_TIME_AT, time_s, time_ns)
        if self.sums_transactions:
            crc = 0xFFFF_FFFF
            for block in logged:
                crc = crc32_be(crc, block)
            struct.pack_into(">2BxxI", raw, _COMMIT_SUM_KIND_AT, _CRC32_KIND, _CRC32_BYTES, crc)
        elif self.has_checksums:
            struct.pack_into(">I", raw, _COMMIT_SUM_AT, crc32c(self._seed, raw))
        return bytes(raw)

    def _with_tail(self, raw: bytearray) -> bytes:
        block = raw.ljust(self.block_size, b"\0")
        if self.has_checksums:
            struct.pack_into(">I", block, self.block_size - _TAIL_BYTES, crc32c(self._seed, block))
        return bytes(block)

    def _data_sum(self, sequence: int, as_logged: bytes) -> int:
        if not self.has_checksums:
            return 0
        return crc32c(crc32c(self._seed, sequence.to_bytes(4, "big")), as_logged)

    # -- reading -------------------------------------------------------------------------------------

    def tags(self, raw: bytes) -> list[Tag]:
        """Return the tags of a descriptor, up to the one that is marked as the last, or to its end."""
        end = self.block_size - self.tail_bytes
        at = HEADER.size
        found: list[Tag] = []
        while at + self.tag_bytes <= end:
            low, checksum, flags = _TAG.unpack_from(raw, at)
            high = 0
            if LogIncompat.CSUM_V3 in self.incompat:
                low, flags, high, checksum = _TAG_V3.unpack_from(raw, at)
            elif LogIncompat.BIT64 in self.incompat:
                high = _HIGH.unpack_from(raw, at + _TAG.size)[0]
            block = low | high << 32 if LogIncompat.BIT64 in self.incompat else low
            found.append(Tag(block, bool(flags & _ESCAPED), checksum))
            at += self.tag_bytes + (0 if flags & _SAME_UUID else _UUID_BYTES)
            if flags & _LAST:
                break
        return found

    def revoked(self, raw: bytes) -> list[int]:
        """Return the block numbers of a block of revocations; ImageError if it says that it is too long."""
        end = int.from_bytes(raw[HEADER.size : _REVOKES_FROM], "big")
        most = self.block_size - self.tail_bytes
        if end > most:
            raise ImageError("journal", f"a block of revocations has {end} bytes", f"at most {most}")
        code = ">Q" if self.revocation_bytes == 8 else ">I"
        last = end - self.revocation_bytes
        return [
            struct.unpack_from(code, raw, at)[0]
            for at in range(_REVOKES_FROM, last + 1, self.revocation_bytes)
        ]

    def tail_is_right(self, raw: bytes) -> bool:
        """Return whether the checksum of a descriptor or a block of revocations is right, if it has one."""
        if not self.has_checksums:
            return True
        bare = raw[:-_TAIL_BYTES] + bytes(_TAIL_BYTES)
        return int.from_bytes(raw[-_TAIL_BYTES:], "big") == crc32c(self._seed, bare)

    def commit_is_right(self, raw: bytes, logged_crc: int) -> bool:
        """
        Return whether a commit record's checksum is right, if it has one.

        logged_crc: the CRC-32 of the transaction's descriptors and their blocks, for version 1.
        """
        kind, length, said = struct.unpack_from(">2BxxI", raw, _COMMIT_SUM_KIND_AT)
        if self.sums_transactions:
            unused = (kind, length, said) == (0, 0, 0)
            return unused or (kind, length, said) == (_CRC32_KIND, _CRC32_BYTES, logged_crc)
        if not self.has_checksums:
            return True
        bare = raw[:_COMMIT_SUM_AT] + bytes(4) + raw[_COMMIT_SUM_AT + 4 :]
        return bool(said == crc32c(self._seed, bare))

    def data_is_right(self, tag: Tag, sequence: int, as_logged: bytes) -> bool:
        """Return whether a logged block's checksum, which its tag has, is right, if it has one."""
        crc = self._data_sum(sequence, as_logged)
        return tag.checksum == (crc & 0xFFFF if LogIncompat.CSUM_V2 in self.incompat else crc)


def commit_time_s(raw: bytes) -> int:
    """Return when a commit record was written, in seconds since 1970."""
    return int(_COMMIT_TIME.unpack_from(raw, _COMMIT_TIME_AT)[0])


def escaped(data: bytes) -> bytes:
    """Return a block as it is logged: one that begins like the log's own begins with zeros."""
    return bytes(4) + data[4:] if data[:4] == MAGIC.to_bytes(4, "big") else data


def unescaped(tag: Tag, as_logged: bytes) -> bytes:
    """Return a logged block as it is in its place."""
    return MAGIC.to_bytes(4, "big") + as_logged[4:] if tag.escaped else as_logged


def crc32_be(seed: int, data: bytes) -> int:
    """
    Return the register after `data`, from `seed`: CRC-32, a byte's high bit first (Linux: crc32_be()).

    It is zlib's with all bits mirrored, and zlib inverts the register before and after.
    """
    crc = zlib.crc32(data.translate(_MIRRORED), _mirror(seed) ^ 0xFFFF_FFFF)
    return _mirror(crc ^ 0xFFFF_FFFF)


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _mirror(word: int) -> int:
    return int.from_bytes(word.to_bytes(4, "big").translate(_MIRRORED), "little")
