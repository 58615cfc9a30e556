"""
Values longer than one xattr may be: in pieces of 64 KiB, under a name and that name with a number.
"""

from __future__ import annotations

from collections.abc import Mapping

from sim.ext4.format.xattr import XattrKey, Xattrs

PIECE_BYTES = 65536
"""XATTR_SIZE_MAX of the VFS (include/uapi/linux/limits.h)."""


def _key(first: XattrKey, number: int) -> XattrKey:
    return first if number == 0 else (first[0], first[1] + str(number).encode())


def joined(xattrs: Mapping[XattrKey, bytes], key: XattrKey) -> bytes:
    """Return the value that lies in pieces from `key` on; empty if there is none."""
    parts: list[bytes] = []
    while (part := xattrs.get(_key(key, len(parts)))) is not None:
        parts.append(part)
    return b"".join(parts)


def is_piece(key: XattrKey, first: XattrKey) -> bool:
    """Tell whether a piece of the value that begins under `first` lies under a key."""
    index, name = key
    number = name.removeprefix(first[1])
    return index == first[0] and name.startswith(first[1]) and (not number or number.isdigit())


def replaced(xattrs: Mapping[XattrKey, bytes], key: XattrKey, value: bytes) -> Xattrs:
    """Return xattrs with another value from `key` on, in as many pieces as it takes."""
    number, kept = 0, dict(xattrs)
    while _key(key, number) in kept:
        del kept[_key(key, number)]
        number += 1
    for number, at in enumerate(range(0, len(value), PIECE_BYTES)):
        kept[_key(key, number)] = value[at : at + PIECE_BYTES]
    return kept
