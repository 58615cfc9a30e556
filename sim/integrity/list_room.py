"""
Where a file's list of tags lies, and how long it may become there.
"""

from __future__ import annotations

from sim.ext4.format.inode import GOOD_OLD_BYTES
from sim.ext4.format.xattr import (
    BLOCK_HEADER_BYTES,
    BODY_HEADER_BYTES,
    body_entries,
    decode_block,
    decode_body,
    packed_bytes,
)
from sim.ext4.read.reader import Image, Inode
from sim.integrity.extents import TAGS_KEY
from sim.integrity.pieces import joined


def body_at(inode: Inode) -> int:
    """Return at which byte of an inode its own xattrs begin."""
    return GOOD_OLD_BYTES + inode.raw.extra_isize


def in_inode(inode: Inode) -> bool:
    """Tell whether a file's list lies in its inode."""
    entries = body_entries(inode.raw_bytes[body_at(inode) :], inode.place)
    return any(entry.key == TAGS_KEY and not entry.inode for entry in entries)


def most_list_bytes(image: Image, inode: Inode) -> int:
    """Return how long a file's list may become where it lies: inode, xattr block, blocks of ea_inodes."""
    if inode.ea_values:
        return -(-len(joined(inode.xattrs, TAGS_KEY)) // image.block_size) * image.block_size
    if in_inode(inode):
        body = inode.raw_bytes[body_at(inode) :]
        beside, room = decode_body(body, inode.place), len(body) - BODY_HEADER_BYTES
    else:
        beside = decode_block(image.read_block(inode.raw.xattr_block), inode.place)
        room = image.block_size - BLOCK_HEADER_BYTES
    return room - packed_bytes({**beside, TAGS_KEY: b""})
