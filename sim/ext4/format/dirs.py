"""
Directory blocks: linear entries, as every directory has them (hash trees are hidden in unused entries).

Source of the format: Documentation/filesystems/ext4 (directory.rst), Linux 6.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from sim.errors import ImageError

MAX_NAME_BYTES = 255

_ENTRY = struct.Struct("<IHBB")
_ALIGN = 4
TAIL_TYPE = 0xDE
TAIL = struct.Struct("<IHBBI")
"""The record of a checksum at the end of a block: inode 0, its length, no name, TAIL_TYPE, the checksum."""


class DirEntry(NamedTuple):
    """A name in a directory: the inode's number, the name's bytes, the type code (0: not recorded)."""

    inode: int
    name: bytes
    file_type: int


def _length(name: bytes) -> int:
    return -(-(_ENTRY.size + len(name)) // _ALIGN) * _ALIGN


def encode_blocks(entries: Iterable[DirEntry], block_size: int, tail: bool = False) -> list[bytes]:
    """
    Return the blocks of a directory with `entries` in order; the last entry fills its block.

    tail: each block ends in a record for its checksum, which is not set.
    """
    room = block_size - TAIL.size * tail
    blocks: list[list[DirEntry]] = [[]]
    used = 0
    for entry in entries:
        if used + _length(entry.name) > room:
            blocks.append([])
            used = 0
        blocks[-1].append(entry)
        used += _length(entry.name)
    end = TAIL.pack(0, TAIL.size, 0, TAIL_TYPE, 0) if tail else b""
    return [_encode(entries, room) + end for entries in blocks]


def _encode(entries: list[DirEntry], block_size: int) -> bytes:
    raw = bytearray()
    for number, (inode, name, file_type) in enumerate(entries, start=1):
        length = _length(name) if number < len(entries) else block_size - len(raw)
        said = min(length, 0xFFFF)  # 64 KiB do not fit in 16 bits
        raw += (_ENTRY.pack(inode, said, len(name), file_type) + name).ljust(length, b"\0")
    return bytes(raw)


def decode_block(raw: bytes | memoryview, place: str, opaque_names: bool = False) -> list[DirEntry]:
    """
    Return the entries in use of one directory block.

    opaque_names: the names are ciphertext, in which every byte may occur.
    Raises ImageError, naming `place`, on a record length or a name that cannot be.
    """
    entries, wrong = read_block(raw, opaque_names)
    for problem, allowed in wrong:
        raise ImageError(place, problem, allowed)
    return entries


def read_block(
    raw: bytes | memoryview, opaque_names: bool = False
) -> tuple[list[DirEntry], list[tuple[str, str]]]:
    """
    Return what of a directory block can be read, and (problem, allowed) of what cannot.

    A record of a length that cannot be is the last that is looked at.
    """
    entries: list[DirEntry] = []
    wrong: list[tuple[str, str]] = []
    at = 0
    while at < len(raw):
        left = len(raw) - at
        inode, length, name_length, file_type = (
            _ENTRY.unpack_from(raw, at) if left >= _ENTRY.size else (0, 0, 0, 0)
        )
        if length in (0, 0xFFFF) and len(raw) > 0xFFFF:
            length = left  # 64 KiB do not fit in 16 bits
        if length < _ENTRY.size or length % _ALIGN or length > left or name_length > length - _ENTRY.size:
            wrong.append(
                (
                    f"record of {length} bytes with a name of {name_length} at byte {at}",
                    f"{_ENTRY.size} to {left} bytes, in steps of {_ALIGN}, with room for the name",
                )
            )
            break
        name = bytes(raw[at + _ENTRY.size : at + _ENTRY.size + name_length])
        if inode and (not name or (not opaque_names and (b"/" in name or b"\0" in name))):
            wrong.append((f"the name {name!r} at byte {at}", "1 to 255 bytes, no slash, no NUL"))
        elif inode:
            entries.append(DirEntry(inode, name, file_type))
        at += length
    return entries, wrong


def add_entry(raw: bytearray, entry: DirEntry) -> bool:
    """
    Put a name into a directory block, in the first record with room for it; return whether there was one.

    The record of a checksum at the end is none. Not for the blocks of a hash tree.
    """
    at, need = 0, _length(entry.name)
    while at < len(raw):
        inode, length, name_length, file_type = _ENTRY.unpack_from(raw, at)
        used = _length(bytes(name_length)) if inode else 0
        if length - used >= need and not (inode == 0 and file_type == TAIL_TYPE):
            if inode:
                struct.pack_into("<H", raw, at + 4, used)
                at, length = at + used, length - used
            head = _ENTRY.pack(entry.inode, length, len(entry.name), entry.file_type)
            raw[at : at + length] = (head + entry.name).ljust(length, b"\0")
            return True
        at += length
    return False


def drop_entry(raw: bytearray, name: bytes) -> bool:
    """
    Take a name out of a directory block and wipe it; return whether it was there.

    Its record is added to the one before it, as the kernel does; the first of a block stays, as one not in
    use.
    """
    at, before = 0, None
    while at < len(raw):
        inode, length, name_length, _type = _ENTRY.unpack_from(raw, at)
        if inode and raw[at + _ENTRY.size : at + _ENTRY.size + name_length] == name:
            if before is None:
                raw[at : at + length] = _ENTRY.pack(0, length, 0, 0).ljust(length, b"\0")
            else:
                raw[at : at + length] = bytes(length)
                known = struct.unpack_from("<H", raw, before + 4)[0]
                struct.pack_into("<H", raw, before + 4, known + length)
            return True
        before = at
        at += length
    return False
