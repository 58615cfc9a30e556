"""
An inode of an opened image: what it says about itself, its tree and its xattrs.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from sim.errors import ImageError
from sim.ext4.format import inode as inodes
from sim.ext4.format import xattr
from sim.ext4.format.extents import ExtentTree
from sim.ext4.format.indirect import IndirectMap

if TYPE_CHECKING:
    from sim.ext4.read.reader import Image


class Inode:
    """An inode of an image; its tree and xattrs are parsed on first use and kept."""

    __slots__ = ("_image", "_indirect", "_raw_bytes", "_tree", "_xattrs", "number", "raw")

    def __init__(self, image: Image, number: int, raw_bytes: bytes | memoryview) -> None:
        self._image = image
        self._raw_bytes = raw_bytes
        self._tree: ExtentTree | None = None
        self._indirect: IndirectMap | None = None
        self._xattrs: xattr.Xattrs | None = None
        self.number = number
        self.raw = inodes.decode_inode(raw_bytes)

    @property
    def place(self) -> str:
        """Where errors about this inode are found."""
        return f"{self._image.name}: inode {self.number}"

    @property
    def size_bytes(self) -> int:
        """Bytes of the contents."""
        return self.raw.size_bytes

    @property
    def blocks(self) -> int:
        """Blocks that the contents span, holes included."""
        return -(-self.raw.size_bytes // self._image.block_size)

    @property
    def mode(self) -> int:
        """Type and permission bits."""
        return self.raw.mode

    @property
    def flags(self) -> int:
        """The inode's flag word."""
        return self.raw.flags

    @property
    def mtime_ns(self) -> int:
        """Time of the last change of contents, ns since 1970."""
        return self.raw.mtime_ns

    @property
    def type(self) -> int:
        """The type bits of the mode: one of the TYPE_ constants of sim.ext4.format.inode."""
        return self.raw.type

    @property
    def type_word(self) -> str:
        """The type in a word."""
        return inodes.TYPE_WORDS.get(self.raw.type, f"type {self.raw.type:#x}")

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return self.raw.type == inodes.TYPE_DIRECTORY

    @property
    def is_regular(self) -> bool:
        """Whether this is a regular file."""
        return self.raw.type == inodes.TYPE_REGULAR

    @property
    def is_encrypted(self) -> bool:
        """Whether contents (of a file) or names (of a directory) are encrypted."""
        return bool(self.raw.flags & inodes.FLAG_ENCRYPTED)

    @property
    def is_short_symlink(self) -> bool:
        """Whether this is a symlink whose target lies in the inode itself."""
        is_link = self.raw.type == inodes.TYPE_SYMLINK
        if not is_link or self.raw.flags & (inodes.FLAG_EXTENTS | inodes.FLAG_INLINE_DATA):
            return False
        return self.size_bytes < len(self.raw.block)

    @property
    def is_inline(self) -> bool:
        """Whether the contents lie in the inode itself (feature inline_data)."""
        return bool(self.raw.flags & inodes.FLAG_INLINE_DATA)

    @property
    def inline_parts(self) -> tuple[bytes, bytes]:
        """The two places for inline contents: the block field, and the xattr for what does not fit there."""
        more = self.xattrs.get(xattr.INLINE_KEY)
        if more is None:
            raise ImageError(self.place, "has inline data and no xattr for it", "the xattr system.data")
        return self.raw.block, more

    @property
    def inline_contents(self) -> bytes:
        """The contents that lie in the inode; ImageError if it does not have room for as many."""
        data = b"".join(self.inline_parts)
        if self.size_bytes > len(data):
            raise ImageError(self.place, f"{self.size_bytes} bytes inline", f"at most {len(data)}")
        return data[: self.size_bytes]

    @property
    def has_contents(self) -> bool:
        """Whether there is an extent tree: for files, directories and long symlinks."""
        kinds = (inodes.TYPE_DIRECTORY, inodes.TYPE_REGULAR, inodes.TYPE_SYMLINK)
        return self.raw.type in kinds and not self.is_short_symlink and not self.is_inline

    @property
    def tree(self) -> ExtentTree:
        """The extent tree; ImageError if it is damaged, or the inode has none."""
        if self._tree is None:
            self._tree = self._image.read_extent_tree(self)
        return self._tree

    @property
    def indirect(self) -> IndirectMap | None:
        """The block map of a file of ext2 or ext3; None for one with extents. ImageError if it is damaged."""
        if self._indirect is None:
            self._indirect = self._image.read_block_map(self)
        return self._indirect

    @property
    def own_blocks(self) -> list[int]:
        """The blocks of contents and extent tree; ImageError for a file mapped without extents."""
        if not self.has_contents:
            return []
        if not self.flags & inodes.FLAG_EXTENTS:
            raise ImageError(self.place, "is mapped by indirect blocks", "a file mapped by extents")
        mapped = [range(e.physical, e.physical + e.length) for e in self.tree.extents]
        return [*chain.from_iterable(mapped), *self.tree.blocks]

    @property
    def xattrs(self) -> xattr.Xattrs:
        """All xattrs by (name index, name), from the inode and its xattr block."""
        if self._xattrs is None:
            start = inodes.GOOD_OLD_BYTES + self.raw.extra_isize
            read = self._image.read_ea_value
            found = xattr.decode_body(self._raw_bytes[start:], self.place, read)
            if self.raw.xattr_block:
                block = self._image.read_block(self.raw.xattr_block, f"{self.place}, xattr block")
                found = {**xattr.decode_block(block, f"{self.place}, xattr block", read), **found}
            self._xattrs = found
        return self._xattrs

    @property
    def raw_bytes(self) -> bytes | memoryview:
        """The inode as it lies in the table, xattrs behind its fields included."""
        return self._raw_bytes

    @property
    def ea_values(self) -> list[tuple[int, int]]:
        """The (inode, bytes) of every xattr value that lies in an inode of its own."""
        start = inodes.GOOD_OLD_BYTES + self.raw.extra_isize
        entries = xattr.body_entries(self._raw_bytes[start:], self.place)
        if self.raw.xattr_block:
            place = f"{self.place}, xattr block"
            entries += xattr.block_entries(self._image.read_block(self.raw.xattr_block, place), place)
        return [(entry.inode, entry.size) for entry in entries if entry.inode]

    @property
    def is_ea_inode(self) -> bool:
        """Whether this inode holds the value of other inodes' xattr."""
        return bool(self.raw.flags & inodes.FLAG_EA_INODE)

    @property
    def ea_references(self) -> int:
        """How many xattrs have their value in an ea_inode."""
        return inodes.ea_references(self._raw_bytes)

    @property
    def encryption_context(self) -> bytes | None:
        """The fscrypt context, or None."""
        return self.xattrs.get((xattr.INDEX_ENCRYPTION, xattr.ENCRYPTION_NAME))
