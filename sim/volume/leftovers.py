"""
What an image still tells of a file that was deleted, to whoever has all of it: the journal, free blocks, and
the keys of every user.

    keys_left         8-byte words of the file's wrapped keys, at any byte of the image
    blocks_left       blocks of its contents that are still as they were, in their old places
    bytes_recovered   plaintext: blocks left, decrypted under a wrapped key that is still found and opens

The finder is the strongest there is: it knows where the file lay, and holds the users' own keys. Left out:
copies of blocks elsewhere (a file system that copies on write, a drive that maps sectors anew); here there
are none but in the journal, which has metadata only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.crypto.keys.data_units import XtsContents
from sim.crypto.keys.file_keys import KEYS_NAME, KeyRing, secret_parts
from sim.crypto.keys.wrapped import FileKey
from sim.errors import ReadpathError
from sim.ext4.edit.scrub import find_words, words_of
from sim.ext4.format.xattr import block_entries, decode_block
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore
from sim.units import MIB
from sim.volume.keyed_image import joined, pieces, wrapped_keys

_CHUNK_BYTES = 4 * MIB
_OVERLAP_BYTES = 8
_XATTR_MAGIC = 0xEA020000


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a file; see the module."""

    keys_left: int
    blocks_left: int
    bytes_recovered: int


class Finder:
    """Knows a file as it was, and looks at an image afterwards."""

    def __init__(self, before: Image, inode: Inode, ring: KeyRing, users: str | Sequence[str]) -> None:
        """ring, users: whose keys the finder holds. A file without keys is found as it lies."""
        self._before = before
        self._size_bytes = inode.size_bytes
        self._extents = [extent for extent in inode.tree.extents if not extent.unwritten]
        self._wrapped = wrapped_keys(inode) if inode.is_encrypted else b""
        self._values = _key_values(before, inode) if self._wrapped else []
        self._ring = ring
        self._users = users

    def look(self, after: ByteStore) -> Remains:
        """Search an image."""
        left = self._blocks_left(after)
        keys_left = 0
        readable = not self._wrapped
        if self._wrapped:
            words = words_of(secret_parts(self._wrapped))
            keys_left = sum(len(find_words(piece, words)) for piece in _pieces(after, _OVERLAP_BYTES - 1))
            readable = self._opens(after, left)
        size = self._before.block_size
        recovered = sum(min(size, self._size_bytes - lblk * size) for lblk, _ in left) if readable else 0
        return Remains(keys_left, len(left), recovered)

    def _blocks_left(self, after: ByteStore) -> list[tuple[int, int]]:
        """Return (logical, physical) of the blocks that are as they were."""
        size, left = self._before.block_size, []
        for extent in self._extents:
            most = _CHUNK_BYTES // size
            for first in range(0, extent.length, most):
                count = min(most, extent.length - first)
                at = (extent.physical + first) * size
                old = np.frombuffer(self._before.store.read(at, count * size), np.uint8).reshape(count, size)
                new = np.frombuffer(after.read(at, count * size), np.uint8).reshape(count, size)
                same = np.flatnonzero((old == new).all(axis=1)).tolist()
                left += [(extent.logical + first + i, extent.physical + first + i) for i in same]
        return left

    def _opens(self, after: ByteStore, left: list[tuple[int, int]]) -> bool:
        """Return whether a key that is found in the image decrypts what is left of the file."""
        if not left:
            return False
        size = self._before.block_size
        lblk, physical = left[-1]
        stored = bytes(after.read(physical * size, size))
        wanted = XtsContents(self._true_key(), size).decrypt_blocks(stored, lblk)
        return any(
            XtsContents(key, size).decrypt_blocks(stored, lblk) == wanted for key in self._found_keys(after)
        )

    def _true_key(self) -> FileKey:
        return self._ring.unwrap(self._wrapped, self._users, "the file as it was")

    def _found_keys(self, after: ByteStore) -> list[FileKey]:
        """Return the keys for the users: in some xattr block, wherever it lies, or in values' own inodes."""
        size, keys = self._before.block_size, self._keys_in_old_places(after)
        for start in range(0, after.size_bytes, _CHUNK_BYTES):
            piece = after.read(start, min(_CHUNK_BYTES, after.size_bytes - start))
            magics = np.frombuffer(piece, "<u4")[:: size // 4]
            for number in np.flatnonzero(magics == _XATTR_MAGIC).tolist():
                block = bytes(piece[number * size : (number + 1) * size])
                try:
                    block_entries(block, "a block of the image")
                    raw = joined(decode_block(block, "a block of the image"), KEYS_NAME)
                    keys.append(self._ring.unwrap(raw, self._users, "a block of the image"))
                except ReadpathError:  # of another file, damaged, shredded, or with values elsewhere
                    continue
        return keys

    def _keys_in_old_places(self, after: ByteStore) -> list[FileKey]:
        """
        Return the key that is put together of the old values: those with inodes of their own from where they
        lay, the others if they are still anywhere.
        """
        parts = []
        for value, places in self._values:
            if places:
                parts.append(b"".join(bytes(after.read(at, count)) for at, count in places)[: len(value)])
            elif any(value in bytes(piece) for piece in _pieces(after, len(value) - 1)):
                parts.append(value)
        try:
            return [self._ring.unwrap(b"".join(parts), self._users, "the old places of its xattrs")]
        except ReadpathError:
            return []


def _key_values(before: Image, inode: Inode) -> list[tuple[bytes, list[tuple[int, int]]]]:
    """Return the values of the wrapped keys, in order, with (offset, bytes) of those in ea_inodes."""
    size, apart = before.block_size, {}
    for number, length in inode.ea_values:
        extents = before.inode(number).tree.extents
        places = [(extent.physical * size, extent.length * size) for extent in extents]
        apart[b"".join(bytes(before.store.read(at, count)) for at, count in places)[:length]] = places
    return [(value, apart.get(value, [])) for value in pieces(inode.xattrs, KEYS_NAME)]


def _pieces(store: ByteStore, overlap: int) -> list[memoryview | bytes]:
    """Return a store's bytes piece by piece, each with a few of the next."""
    size = store.size_bytes
    return [
        store.read(start, min(_CHUNK_BYTES + overlap, size - start)) for start in range(0, size, _CHUNK_BYTES)
    ]
