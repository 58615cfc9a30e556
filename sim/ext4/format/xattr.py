"""
Extended attributes: in the space behind the inode's fields, in a block of their own, in inodes of their own.

Keys are (name index, name): index 1 is "user.", 4 "trusted.", 7 "system.", 9 the encryption context's. A
value that is too large for a block lies in an inode of its own (feature ea_inode), of which the entry keeps
number and hash. Source of the format: Documentation/filesystems/ext4 (attributes.rst), Linux 6.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from sim.errors import ConfigError, ImageError

XATTR_MAGIC = 0xEA020000
INDEX_USER = 1
INDEX_TRUSTED = 4
INDEX_SYSTEM = 7
INDEX_ENCRYPTION = 9
ENCRYPTION_NAME = b"c"
BLOCK_HEADER_BYTES = 32
BODY_HEADER_BYTES = 4

XattrKey = tuple[int, bytes]
INLINE_KEY: XattrKey = (INDEX_SYSTEM, b"data")
"""system.data: what of inline contents does not fit in the inode's block field."""
Xattrs = dict[XattrKey, bytes]


class EaValue(NamedTuple):
    """
    A value of `size` bytes that lies in inode `inode`; hash: CRC-32C of it, from the file system's seed.
    """

    inode: int
    size: int
    hash: int


Value = bytes | EaValue
AnyValue = TypeVar("AnyValue", bound=Value)
ReadValue = Callable[[int, int], bytes]
"""(inode, bytes) -> the value that lies there."""


class Entry(NamedTuple):
    """An entry as it lies on disk: `at` and `value_at` are bytes of the area it was found in."""

    key: XattrKey
    at: int
    value_at: int
    size: int
    inode: int
    hash: int

    @property
    def end(self) -> int:
        """The byte behind the entry."""
        return self.at + _ENTRY.size + padded(len(self.key[1]))


_BLOCK_HEADER = struct.Struct("<IIIII12x")
_ENTRY = struct.Struct("<BBHIII")
_PAD = 4
_LARGE_BYTES = 512
"""Values up to this size never get an inode of their own; the kernel's bound follows from the block size."""


def padded(length: int) -> int:
    """Return how many bytes a name or a value takes."""
    return -(-length // _PAD) * _PAD


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & 0xFFFF_FFFF


def entry_hash(name: bytes, value: bytes, signed: bool = False) -> int:
    """
    Return the hash that an entry in an xattr block carries (attributes.rst: e_hash).

    signed: as systems whose char is signed once wrote it.
    """
    result = 0
    for letter in name:
        high = 0xFFFF_FF00 if signed and letter > 127 else 0
        result = _rotate(result, 5) ^ letter ^ high
    for (word,) in struct.iter_unpack("<I", value.ljust(padded(len(value)), b"\0")):
        result = _rotate(result, 16) ^ word
    return result


def packed_bytes(xattrs: Mapping[XattrKey, Value]) -> int:
    """Return the bytes that entries, their end mark and values take, headers not counted."""
    return _PAD + sum(
        _ENTRY.size + padded(len(name)) + padded(len(_in_place(value))) for (_, name), value in xattrs.items()
    )


def _in_place(value: Value) -> bytes:
    return b"" if isinstance(value, EaValue) else value


def _pack(xattrs: Mapping[XattrKey, Value], room: int, origin: int, hashed: bool) -> tuple[bytes, list[int]]:
    """Return `room` bytes of entries and values whose value offsets count from `origin` bytes before."""
    area = bytearray(room)
    hashes: list[int] = []
    at, value_at = 0, room
    for (index, name), value in sorted(
        xattrs.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0][1])
    ):
        inode, size, digest = value if isinstance(value, EaValue) else (0, len(value), 0)
        data = _in_place(value)
        value_at -= padded(len(data))
        said = digest.to_bytes(4, "little") if inode else data
        hashes.append(entry_hash(name, said) if hashed or inode else 0)
        offset = value_at + origin if data else 0
        _ENTRY.pack_into(area, at, len(name), index, offset, inode, size, hashes[-1])
        area[at + _ENTRY.size : at + _ENTRY.size + len(name)] = name
        area[value_at : value_at + len(data)] = data
        at += _ENTRY.size + padded(len(name))
    return bytes(area), hashes


def encode_body(xattrs: Mapping[XattrKey, Value], room: int) -> bytes:
    """Return `room` bytes for the space behind the inode's fields; all zero if there is nothing to hold."""
    if not xattrs:
        return bytes(room)
    return struct.pack("<I", XATTR_MAGIC) + _pack(xattrs, room - BODY_HEADER_BYTES, 0, hashed=False)[0]


def encode_block(xattrs: Mapping[XattrKey, Value], block_size: int) -> bytes:
    """Return the bytes of an xattr block used by one inode."""
    body, hashes = _pack(xattrs, block_size - BLOCK_HEADER_BYTES, BLOCK_HEADER_BYTES, hashed=True)
    total = 0
    for value in hashes:
        total = _rotate(total, 16) ^ value
    return _BLOCK_HEADER.pack(XATTR_MAGIC, 1, 1, total, 0) + body


def split_xattrs(
    place: str, xattrs: Mapping[XattrKey, AnyValue], body_room: int, block_size: int
) -> tuple[dict[XattrKey, AnyValue], dict[XattrKey, AnyValue]]:
    """
    Return what goes behind the inode's fields (as much as fits, small ones first) and what into a block.

    The encryption context comes first: a reader always needs it. Raises ConfigError if the rest does not
    fit in one block.
    """
    body: dict[XattrKey, AnyValue] = {}
    block: dict[XattrKey, AnyValue] = {}
    for key, value in sorted(
        xattrs.items(), key=lambda item: (item[0][0] != INDEX_ENCRYPTION, len(item[1]), item[0])
    ):
        index, name = key
        if not name or len(name) > 255 or b"\0" in name or not 0 < index < 256:
            raise ConfigError(
                place, f"xattr {name!r} of index {index}", "a name of 1 to 255 bytes, index 1 to 255"
            )
        fits = packed_bytes({**body, key: value}) <= body_room - BODY_HEADER_BYTES
        (body if fits else block)[key] = value
    room = block_size - BLOCK_HEADER_BYTES
    if block and packed_bytes(block) > room:
        raise ConfigError(
            place, f"{packed_bytes(block)} bytes of xattrs", f"at most {room} in an xattr block"
        )
    return body, block


def place_values(
    place: str, xattrs: Mapping[XattrKey, bytes], body_room: int, block_size: int
) -> tuple[dict[XattrKey, Value], dict[XattrKey, Value], list[XattrKey]]:
    """
    Return what goes behind the inode's fields, what into a block, and what into inodes of its own.

    The largest values go into inodes, as few as possible; they are in the first two as an EaValue of inode 0,
    which takes as much room as any. Raises ConfigError if names and small values alone do not fit.
    """
    values: dict[XattrKey, Value] = dict(xattrs)
    large: list[XattrKey] = []
    while True:
        try:
            return (*split_xattrs(place, values, body_room, block_size), large)
        except ConfigError:
            sizes = {
                key: len(xattrs[key])
                for key in xattrs
                if key not in large and len(xattrs[key]) > _LARGE_BYTES
            }
            if not sizes:
                raise
            large.append(max(sizes, key=lambda key: (sizes[key], key)))
            values[large[-1]] = EaValue(0, len(xattrs[large[-1]]), 0)


def iter_entries(area: bytes | memoryview, first: int, origin: int, place: str) -> Iterator[Entry]:
    """
    Yield the entries from byte `first` of `area`; value offsets count from byte `origin`.

    Raises ImageError, naming `place`, for the first entry or value that does not lie within the area.
    """
    at = first
    while True:
        if at + _PAD > len(area):
            raise ImageError(place, "the xattr entries have no end mark", f"within {len(area)} bytes")
        if not any(area[at : at + _PAD]):
            return
        if at + _ENTRY.size > len(area):
            raise ImageError(place, f"an xattr entry at byte {at}", f"within {len(area)} bytes")
        name_length, index, offset, inode, size, said = _ENTRY.unpack_from(area, at)
        name = bytes(area[at + _ENTRY.size : at + _ENTRY.size + name_length])
        start = origin + offset
        inside = inode or (start + size <= len(area) and (not size or start >= first))
        if len(name) != name_length or not inside:
            raise ImageError(
                place, f"xattr {name!r} with {size} bytes at offset {offset}", f"within {len(area)} bytes"
            )
        entry = Entry((index, name), at, start, size, inode, said)
        yield entry
        at = entry.end


def _values(area: bytes | memoryview, entries: list[Entry], read: ReadValue | None, place: str) -> Xattrs:
    found: Xattrs = {}
    for key, _at, start, size, inode, _hash in entries:
        if not inode:
            found[key] = bytes(area[start : start + size])
        elif read is None:
            raise ImageError(place, f"xattr {key[1]!r} lies in inode {inode}", "a value in place")
        else:
            found[key] = read(inode, size)
    return found


def body_entries(area: bytes | memoryview, place: str) -> list[Entry]:
    """Return the entries in the bytes behind an inode's fields; none if the magic is not there."""
    if len(area) < BODY_HEADER_BYTES or struct.unpack_from("<I", area)[0] != XATTR_MAGIC:
        return []
    return list(iter_entries(area, BODY_HEADER_BYTES, BODY_HEADER_BYTES, place))


def block_entries(area: bytes | memoryview, place: str) -> list[Entry]:
    """Return the entries in an xattr block; raise ImageError if it is none."""
    refuse_no_block(area, place)
    return list(iter_entries(area, BLOCK_HEADER_BYTES, 0, place))


def refuse_no_block(area: bytes | memoryview, place: str) -> None:
    """Raise ImageError for a block that does not begin as an xattr block does."""
    magic, _references, blocks, _hash, _checksum = _BLOCK_HEADER.unpack_from(area)
    if magic != XATTR_MAGIC or blocks != 1:
        raise ImageError(
            place, f"xattr magic {magic:#010x}, {blocks} blocks", f"{XATTR_MAGIC:#010x}, 1 block"
        )


def decode_body(area: bytes | memoryview, place: str, read: ReadValue | None = None) -> Xattrs:
    """Return the xattrs in the bytes behind an inode's fields; read: gets values in inodes of their own."""
    return _values(area, body_entries(area, place), read, place)


def decode_block(area: bytes | memoryview, place: str, read: ReadValue | None = None) -> Xattrs:
    """Return the xattrs in an xattr block; raise ImageError if it is none."""
    return _values(area, block_entries(area, place), read, place)


def block_references(area: bytes | bytearray | memoryview) -> int:
    """Return how many inodes share an xattr block."""
    return int(_BLOCK_HEADER.unpack_from(area)[1])
