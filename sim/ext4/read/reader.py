"""
Reading an ext4 image: inodes, directories, extent trees, xattrs and contents, from any ByteStore.

Not modelled: the journal is never replayed (an image that needs it is refused), checksums are not
verified, hash-tree directories are read linearly, symlinks are not followed.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from sim.errors import ImageError, ReadpathError
from sim.ext4.format import dirs
from sim.ext4.format import inode as inodes
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.descriptor import GroupDescriptor, decode_descriptor
from sim.ext4.format.extents import MAX_LOGICAL_BLOCKS, ExtentTree
from sim.ext4.format.features import Incompat
from sim.ext4.format.indirect import IndirectMap, read_map
from sim.ext4.format.judging import decode_superblock
from sim.ext4.format.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET, Superblock
from sim.ext4.read.opened import Inode
from sim.ext4.read.walk import read_tree
from sim.ext4.store import ByteStore, MmapStore

__all__ = ["CHUNK_BYTES", "Image", "Inode", "Run", "shown_name"]

CHUNK_BYTES = 1 << 20
"""Contents are handed out in pieces of at most this many bytes."""
MOST_WRONG = 100
"""A directory with more damaged places than this is given up."""


class Run(NamedTuple):
    """`length` blocks from `logical`: at `physical` on the device, or zeros if that is None."""

    logical: int
    length: int
    physical: int | None


class Image:
    """
    An ext4 file system in a store.

    Raises ImageError, here and from every method, for anything that cannot be read with certainty: one
    line that names the image, the inode and the value.
    """

    def __init__(self, store: ByteStore, name: str = "image") -> None:
        self.store = store
        self.name = name
        if store.size_bytes < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES:
            raise ImageError(name, f"{store.size_bytes} bytes are too few for a superblock", "2048 and more")
        raw = store.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES)
        self.superblock: Superblock = decode_superblock(raw, f"{name}: superblock")
        self.block_size = self.superblock.block_size
        self.blocks_count = self.superblock.blocks_count
        self.uuid = self.superblock.uuid
        if self.blocks_count * self.block_size > store.size_bytes:
            raise ImageError(
                name,
                f"{self.blocks_count} blocks of {self.block_size} bytes in an image of {store.size_bytes}",
                "an image that is not cut short",
            )
        self._inodes: dict[int, Inode] = {}
        self._numbers_of: dict[int, dict[str, int]] = {}
        self._entries: dict[int, tuple[list[dirs.DirEntry], list[ImageError]]] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Image:
        """Return the image in a file, mapped read-only."""
        return cls(MmapStore(path), os.fspath(path))

    @property
    def blocks(self) -> range:
        """The physical blocks that can hold anything."""
        return range(self.superblock.first_data_block, self.blocks_count)

    def read_block(self, block: int, place: str = "") -> bytes | memoryview:
        """Return the bytes of a physical block; ImageError if the file system does not have it."""
        if block not in self.blocks:
            raise ImageError(
                place or self.name,
                f"points at block {block}",
                f"{self.blocks.start} to {self.blocks.stop - 1}",
            )
        return self.store.read(block * self.block_size, self.block_size)

    def group(self, number: int) -> GroupDescriptor:
        """Return the descriptor of a block group, its block numbers inside the file system."""
        size = self.superblock.descriptor_bytes
        index, inside = divmod(number, self.block_size // size)
        at = self.superblock.descriptor_block(index) * self.block_size + inside * size
        descriptor = decode_descriptor(self.store.read(at, size))
        table_end = descriptor.inode_table + self.superblock.inode_table_blocks - 1
        for what, block in (
            ("block bitmap", descriptor.block_bitmap),
            ("inode bitmap", descriptor.inode_bitmap),
            ("inode table", descriptor.inode_table),
            ("end of the inode table", table_end),
        ):
            if block not in self.blocks:
                raise ImageError(
                    f"{self.name}: group {number}",
                    f"the {what} is at block {block}",
                    f"{self.blocks.start} to {self.blocks.stop - 1}",
                )
        return descriptor

    def inode(self, number: int) -> Inode:
        """Return an inode by its number, from 1."""
        found = self._inodes.get(number)
        if found is None:
            if not 0 < number <= self.superblock.inodes_count:
                raise ImageError(self.name, f"inode {number}", f"1 to {self.superblock.inodes_count}")
            found = Inode(self, number, self.store.read(self.inode_at(number), self.superblock.inode_size))
            self._judge(found)
            self._inodes[number] = found
        return found

    def inode_at(self, number: int) -> int:
        """Return the byte at which an inode begins in its table."""
        group, index = divmod(number - 1, self.superblock.inodes_per_group)
        return self.group(group).inode_table * self.block_size + index * self.superblock.inode_size

    def _judge(self, inode: Inode) -> None:
        raw = inode.raw
        room = self.superblock.inode_size - inodes.GOOD_OLD_BYTES
        if room and (raw.extra_isize > room or raw.extra_isize % 4):
            raise ImageError(
                inode.place, f"the extra size is {raw.extra_isize}", f"0 to {room}, in steps of 4"
            )
        if raw.size_bytes > MAX_LOGICAL_BLOCKS * self.block_size:
            raise ImageError(
                inode.place,
                f"the size is {raw.size_bytes} bytes",
                f"at most 2^32 blocks of {self.block_size}",
            )
        if raw.flags & inodes.FLAG_CASEFOLD:
            raise ImageError(inode.place, "unsupported feature: casefold", "plain files and directories")
        if raw.flags & inodes.FLAG_INLINE_DATA and not self.superblock.incompat & Incompat.INLINE_DATA:
            raise ImageError(
                inode.place, "has the flag for inline_data", "a file system with the feature inline_data"
            )

    def read_ea_value(self, number: int, size_bytes: int) -> bytes:
        """
        Return the xattr value in an inode of its own; ImageError if its size is not what the entry says.
        """
        inode = self.inode(number)
        if not inode.is_ea_inode or not inode.is_regular or inode.size_bytes != size_bytes:
            raise ImageError(
                inode.place,
                f"is to hold an xattr value of {size_bytes} bytes and is a {inode.type_word} of "
                f"{inode.size_bytes}, flags {inode.flags:#x}",
                "an inode with the flag ea_inode",
            )
        return self.read_file(inode)

    @property
    def checksum_seed(self) -> int:
        """What every CRC-32C of the file system starts from."""
        sb = self.superblock
        return sb.checksum_seed if sb.incompat & Incompat.CSUM_SEED else crc32c(0xFFFF_FFFF, sb.uuid)

    def read_block_map(self, inode: Inode) -> IndirectMap | None:
        """Return the block map of an inode that has no extents, parsed anew; `Inode.indirect` keeps it."""
        if not inode.has_contents or inode.flags & inodes.FLAG_EXTENTS:
            return None
        return read_map(
            inode.raw.block, self.read_block, self.blocks, inode.blocks, self.block_size, inode.place
        )

    def read_extent_tree(self, inode: Inode) -> ExtentTree:
        """
        Return the extent tree of an inode, parsed anew; `Inode.tree` keeps it.

        Of a block map it is a tree of depth 0 with the same data; `Inode.indirect` has the map.
        """
        if not inode.has_contents:
            where = " that lies in its inode" if inode.is_inline else ""
            raise ImageError(
                inode.place,
                f"a {inode.type_word}{where} has no extent tree",
                "a file or a directory in blocks",
            )
        if inode.indirect is not None:
            return ExtentTree(0, inode.indirect.extents, [0], [0], [()])
        return read_tree(inode.raw.block, self.read_block, self.blocks, inode.place)

    # -- contents ------------------------------------------------------------------------------------

    def runs(self, inode: Inode) -> Iterator[Run]:
        """
        Yield the runs of blocks that make up the contents, in order, up to the block of the last byte.

        Contents that lie in the inode itself (inline_data) have none.
        """
        if inode.is_inline:
            return
        at, end = 0, inode.blocks
        for logical, physical, length, unwritten in inode.tree.extents:
            if logical >= end:
                break
            if logical > at:
                yield Run(at, logical - at, None)
            length = min(length, end - logical)
            yield Run(logical, length, None if unwritten else physical)
            at = logical + length
        if at < end:
            yield Run(at, end - at, None)

    def iter_blocks(self, inode: Inode) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield (logical block, its raw bytes) of every written block; all others are zeros."""
        for logical, length, physical in self.runs(inode):
            if physical is not None:
                for index in range(length):
                    yield logical + index, self.read_block(physical + index, inode.place)

    def iter_chunks(self, inode: Inode, whole_blocks: bool = False) -> Iterator[bytes | memoryview]:
        """
        Yield the raw contents in pieces of at most CHUNK_BYTES, without copying what the store maps.

        Holes and unwritten blocks are zeros; encrypted blocks come as they are. whole_blocks: do not stop
        at the file's last byte but at the end of its block (an encrypted block can only be read whole).
        """
        if inode.is_short_symlink:
            yield inode.raw.block[: inode.size_bytes]
            return
        if inode.is_inline:
            yield inode.inline_contents
            return
        size = self.block_size
        left = inode.blocks * size if whole_blocks else inode.size_bytes
        zeros = bytes(CHUNK_BYTES)
        for _logical, length, physical in self.runs(inode):
            run_bytes = min(length * size, left)
            left -= run_bytes
            for done in range(0, run_bytes, CHUNK_BYTES):
                count = min(CHUNK_BYTES, run_bytes - done)
                yield zeros[:count] if physical is None else self.store.read(physical * size + done, count)

    def read_file(self, inode: Inode, whole_blocks: bool = False, limit_bytes: int | None = None) -> bytes:
        """
        Return the raw contents as `iter_chunks` gives them, in one piece.

        limit_bytes: raise ImageError instead of returning more (default: the size of the image, which
        only a file with large holes can exceed).
        """
        limit = self.store.size_bytes if limit_bytes is None else limit_bytes
        if inode.size_bytes > limit:
            raise ImageError(
                inode.place, f"{inode.size_bytes} bytes are too many for memory", f"at most {limit}"
            )
        return b"".join(self.iter_chunks(inode, whole_blocks))

    # -- names ---------------------------------------------------------------------------------------

    def entries(self, directory: Inode) -> list[dirs.DirEntry]:
        """Return the entries of a directory, "." and ".." included, in the order of its blocks."""
        found, wrong = self.readable_entries(directory)
        for error in wrong:
            raise error
        return found

    def readable_entries(self, directory: Inode) -> tuple[list[dirs.DirEntry], list[ImageError]]:
        """Return what of a directory can be read, and what is wrong with the rest, as far as MOST_WRONG."""
        found = self._entries.get(directory.number)
        if found is None:
            found = [], []
            try:
                for entries, wrong in self._directory_parts(directory):
                    found[0].extend(entries)
                    found[1].extend(wrong)
                    if len(found[1]) >= MOST_WRONG:
                        break
            except ImageError as error:
                found[1].append(error)
            self._entries[directory.number] = found
        return found

    def _directory_parts(self, directory: Inode) -> Iterator[tuple[list[dirs.DirEntry], list[ImageError]]]:
        """Yield what each block of a directory, or each part in the inode, holds, and what is wrong there."""
        place = directory.place
        if not directory.is_directory:
            raise ImageError(place, f"is a {directory.type_word}", "a directory")
        if directory.is_inline:
            yield from self._inline_parts(directory)
        elif directory.size_bytes % self.block_size:
            yield [], [ImageError(place, f"a directory of {directory.size_bytes} bytes", "whole blocks")]
        for logical, length, physical in self.runs(directory):
            if physical is None:
                yield [], [ImageError(place, f"a hole at block {logical}", "a directory without holes")]
                continue
            for index in range(length):
                where = f"{place}, directory block {logical + index}"
                yield _read_names(self.read_block(physical + index, where), where, directory)

    def _inline_parts(self, directory: Inode) -> Iterator[tuple[list[dirs.DirEntry], list[ImageError]]]:
        """Yield the parts of a directory in its inode: its parent's number, then records in two places."""
        parts = directory.inline_parts
        parent = int.from_bytes(parts[0][: inodes.INLINE_PARENT_BYTES], "little")
        kind = inodes.DIRENT_TYPES[inodes.TYPE_DIRECTORY]
        yield [dirs.DirEntry(directory.number, b".", kind), dirs.DirEntry(parent, b"..", kind)], []
        for raw in (parts[0][inodes.INLINE_PARENT_BYTES :], parts[1]):
            yield _read_names(raw, f"{directory.place}, inline", directory)

    def children(self, directory: Inode) -> Iterator[tuple[str, Inode]]:
        """Yield (name, inode) of what a directory holds, without "." and ".."."""
        for number, name, _type in self.entries(directory):
            if name not in (b".", b".."):
                yield self.shown(directory, name), self.inode(number)

    def shown(self, directory: Inode, name: bytes) -> str:
        """Return how a name of a directory is written: here as `shown_name` does."""
        return shown_name(name, directory.is_encrypted)

    def lookup(self, path: str) -> Inode:
        """
        Return the inode of an absolute path.

        Names in an encrypted directory are looked up as `shown_name` writes them.
        """
        inode = self.inode(inodes.ROOT_INODE)
        for part in path.split("/"):
            if part in ("", "."):
                continue
            number = self._numbers(inode).get(part)
            if number is None:
                for error in self.readable_entries(inode)[1]:  # it may be in the part that cannot be read
                    raise error
                raise ImageError(f"{self.name}: {path}", f"there is no {part!r}", "a path in the image")
            inode = self.inode(number)
        return inode

    def is_file(self, path: str) -> bool:
        """Return whether there is a regular file at a path."""
        try:
            return self.lookup(path).is_regular
        except ReadpathError:
            return False

    def _numbers(self, directory: Inode) -> dict[str, int]:
        """Return the inode numbers of a directory's names, in every form in which one is written; kept."""
        found = self._numbers_of.get(directory.number)
        if found is None:
            found = self._numbers_of[directory.number] = {}
            for number, name, _type in self.readable_entries(directory)[0]:
                found.setdefault(shown_name(name, directory.is_encrypted), number)
                with suppress(ReadpathError):  # a name that decrypts to none has only its other form
                    found.setdefault(self.shown(directory, name), number)
        return found

    def walk(self) -> Iterator[tuple[str, Inode]]:
        """Yield (path, inode) of everything below the root, parents first; ImageError on a loop."""
        seen = {inodes.ROOT_INODE}
        stack = [self._below("", inodes.ROOT_INODE)]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                continue
            path, inode = step
            yield path, inode
            if inode.is_directory:
                if inode.number in seen:
                    raise ImageError(
                        inode.place, f"the directory {path} was met before", "directories without loops"
                    )
                seen.add(inode.number)
                stack.append(self._below(path, inode.number))

    def _below(self, path: str, number: int) -> Iterator[tuple[str, Inode]]:
        for name, inode in self.children(self.inode(number)):
            yield f"{path}/{name}", inode


def _read_names(
    raw: bytes | memoryview, place: str, directory: Inode
) -> tuple[list[dirs.DirEntry], list[ImageError]]:
    entries, wrong = dirs.read_block(raw, directory.is_encrypted)
    return entries, [ImageError(place, problem, allowed) for problem, allowed in wrong]


def shown_name(name: bytes, encrypted: bool) -> str:
    """
    Return how a name is written: as the operating system decodes it, or "~" and base64url of ciphertext.

    The form for ciphertext is ours; the kernel's no-key names also carry a hash.
    """
    if encrypted and name not in (b".", b".."):
        return "~" + base64.urlsafe_b64encode(name).decode().rstrip("=")
    return os.fsdecode(name)
