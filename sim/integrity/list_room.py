"""
Where a file's list of tags lies, what changes with it there, and how long it may become.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.ext4.format.inode import GOOD_OLD_BYTES, ea_digest
from sim.ext4.format.xattr import (
    BLOCK_HEADER_BYTES,
    BODY_HEADER_BYTES,
    EaValue,
    Entry,
    Value,
    XattrKey,
    block_entries,
    body_entries,
    packed_bytes,
)
from sim.ext4.read.reader import Image, Inode
from sim.integrity.extents import TAGS_KEY
from sim.integrity.pieces import is_piece, joined


class ListHome(NamedTuple):
    """
    Where a list lies. blocks: that hold it: an xattr block, those of ea_inodes, or both. tables: blocks of
    the inode table in which those inodes lie, with the hash of their values. in_inode: the list, or where it
    is, lies in the file's inode.
    """

    blocks: list[int]
    tables: list[int]
    in_inode: bool


def body_at(inode: Inode) -> int:
    """Return at which byte of an inode its own xattrs begin."""
    return GOOD_OLD_BYTES + inode.raw.extra_isize


def home_of(image: Image, inode: Inode) -> ListHome:
    """Return where the list of a file lies."""
    inside, outside = (
        [entry for entry in each if is_piece(entry.key, TAGS_KEY)] for each in _entries(image, inode)
    )
    blocks, tables = [inode.raw.xattr_block] if outside else [], dict[int, None]()
    for entry in inside + outside:
        if entry.inode:
            extents = image.inode(entry.inode).tree.extents
            blocks += [at for each in extents for at in range(each.physical, each.physical + each.length)]
            tables[image.inode_at(entry.inode) // image.block_size] = None
    return ListHome(blocks, list(tables), bool(inside))


def stored_xattrs(image: Image, inode: Inode) -> tuple[dict[XattrKey, Value], dict[XattrKey, Value]]:
    """Return the xattrs in an inode and those in its xattr block; of values in ea_inodes, which these are."""
    block = inode.raw.xattr_block
    areas = inode.raw_bytes[body_at(inode) :], image.read_block(block) if block else b""
    inside, outside = (
        {
            entry.key: EaValue(entry.inode, entry.size, ea_digest(image.inode(entry.inode).raw_bytes))
            if entry.inode
            else bytes(area[entry.value_at : entry.value_at + entry.size])
            for entry in entries
        }
        for area, entries in zip(areas, _entries(image, inode), strict=True)
    )
    return inside, outside


def _entries(image: Image, inode: Inode) -> tuple[list[Entry], list[Entry]]:
    """Return the entries in an inode and those in its xattr block."""
    block = inode.raw.xattr_block
    inside = body_entries(inode.raw_bytes[body_at(inode) :], inode.place)
    return inside, block_entries(image.read_block(block), inode.place) if block else []


def most_list_bytes(image: Image, inode: Inode) -> int:
    """Return how long a file's list may become where it lies: inode, xattr block, blocks of ea_inodes."""
    home = home_of(image, inode)
    if home.tables:
        return -(-len(joined(inode.xattrs, TAGS_KEY)) // image.block_size) * image.block_size
    inside, outside = stored_xattrs(image, inode)
    if home.in_inode:
        beside, room = inside, len(inode.raw_bytes) - body_at(inode) - BODY_HEADER_BYTES
    else:
        beside, room = outside, image.block_size - BLOCK_HEADER_BYTES
    return room - packed_bytes({**beside, TAGS_KEY: b""})
