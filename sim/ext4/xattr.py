"""
Extended attributes: in the space behind the inode's fields, and in a block of their own.

Keys are (name index, name): index 1 is "user.", 7 "system.", 9 the encryption context's. Source of the
format: Documentation/filesystems/ext4 (attributes.rst), Linux 6.1.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from sim.errors import ConfigError, ImageError

XATTR_MAGIC = 0xEA020000
INDEX_USER = 1
INDEX_ENCRYPTION = 9
ENCRYPTION_NAME = b"c"
BLOCK_HEADER_BYTES = 32
BODY_HEADER_BYTES = 4

XattrKey = tuple[int, bytes]
Xattrs = dict[XattrKey, bytes]

_BLOCK_HEADER = struct.Struct("<IIIII12x")
_ENTRY = struct.Struct("<BBHIII")
_PAD = 4


def _padded(length: int) -> int:
    return -(-length // _PAD) * _PAD


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & 0xFFFF_FFFF


def entry_hash(name: bytes, value: bytes) -> int:
    """Return the hash that an entry in an xattr block carries (attributes.rst: e_hash)."""
    result = 0
    for letter in name:
        result = _rotate(result, 5) ^ letter
    for (word,) in struct.iter_unpack("<I", value.ljust(_padded(len(value)), b"\0")):
        result = _rotate(result, 16) ^ word
    return result


def packed_bytes(xattrs: Mapping[XattrKey, bytes]) -> int:
    """Return the bytes that entries, their end mark and values take, headers not counted."""
    return _PAD + sum(
        _ENTRY.size + _padded(len(name)) + _padded(len(value)) for (_, name), value in xattrs.items()
    )


def _pack(xattrs: Mapping[XattrKey, bytes], room: int, origin: int, hashed: bool) -> tuple[bytes, list[int]]:
    """Return `room` bytes of entries and values whose value offsets count from `origin` bytes before."""
    area = bytearray(room)
    hashes: list[int] = []
    at, value_at = 0, room
    for (index, name), value in sorted(
        xattrs.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0][1])
    ):
        value_at -= _padded(len(value))
        hashes.append(entry_hash(name, value) if hashed else 0)
        offset = value_at + origin if value else 0
        _ENTRY.pack_into(area, at, len(name), index, offset, 0, len(value), hashes[-1])
        area[at + _ENTRY.size : at + _ENTRY.size + len(name)] = name
        area[value_at : value_at + len(value)] = value
        at += _ENTRY.size + _padded(len(name))
    return bytes(area), hashes


def encode_body(xattrs: Mapping[XattrKey, bytes], room: int) -> bytes:
    """Return `room` bytes for the space behind the inode's fields; all zero if there is nothing to hold."""
    if not xattrs:
        return bytes(room)
    return struct.pack("<I", XATTR_MAGIC) + _pack(xattrs, room - BODY_HEADER_BYTES, 0, hashed=False)[0]


def encode_block(xattrs: Mapping[XattrKey, bytes], block_size: int) -> bytes:
    """Return the bytes of an xattr block used by one inode."""
    body, hashes = _pack(xattrs, block_size - BLOCK_HEADER_BYTES, BLOCK_HEADER_BYTES, hashed=True)
    total = 0
    for value in hashes:
        total = _rotate(total, 16) ^ value
    return _BLOCK_HEADER.pack(XATTR_MAGIC, 1, 1, total, 0) + body


def split_xattrs(
    place: str, xattrs: Mapping[XattrKey, bytes], body_room: int, block_size: int
) -> tuple[Xattrs, Xattrs]:
    """
    Return what goes behind the inode's fields (as much as fits, small ones first) and what into a block.

    The encryption context comes first: a reader always needs it. Raises ConfigError if the rest does not
    fit in one block.
    """
    body: Xattrs = {}
    block: Xattrs = {}
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


def _unpack(area: bytes | memoryview, first: int, origin: int, place: str) -> Xattrs:
    """Return the entries from byte `first` of `area`; value offsets count from byte `origin`."""
    found: Xattrs = {}
    at = first
    while True:
        if at + _PAD > len(area):
            raise ImageError(place, "the xattr entries have no end mark", f"within {len(area)} bytes")
        if not any(area[at : at + _PAD]):
            return found
        if at + _ENTRY.size > len(area):
            raise ImageError(place, f"an xattr entry at byte {at}", f"within {len(area)} bytes")
        name_length, index, offset, inode, size, _hash = _ENTRY.unpack_from(area, at)
        name = bytes(area[at + _ENTRY.size : at + _ENTRY.size + name_length])
        start = origin + offset
        if inode:
            raise ImageError(
                place, "unsupported feature: ea_inode (an xattr value in an inode)", "values in place"
            )
        if len(name) != name_length or (size and (start < first or start + size > len(area))):
            raise ImageError(
                place, f"xattr {name!r} with {size} bytes at offset {offset}", f"within {len(area)} bytes"
            )
        found[index, name] = bytes(area[start : start + size])
        at += _ENTRY.size + _padded(name_length)


def decode_body(area: bytes | memoryview, place: str) -> Xattrs:
    """Return the xattrs in the bytes behind an inode's fields; none if the magic is not there."""
    if len(area) < BODY_HEADER_BYTES or struct.unpack_from("<I", area)[0] != XATTR_MAGIC:
        return {}
    return _unpack(area, BODY_HEADER_BYTES, BODY_HEADER_BYTES, place)


def decode_block(area: bytes | memoryview, place: str) -> Xattrs:
    """Return the xattrs in an xattr block; raise ImageError if it is none."""
    magic, _references, blocks, _hash, _checksum = _BLOCK_HEADER.unpack_from(area)
    if magic != XATTR_MAGIC or blocks != 1:
        raise ImageError(
            place, f"xattr magic {magic:#010x}, {blocks} blocks", f"{XATTR_MAGIC:#010x}, 1 block"
        )
    return _unpack(area, BLOCK_HEADER_BYTES, 0, place)
