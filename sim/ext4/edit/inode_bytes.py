"""
Fields of an inode changed where they lie in its bytes; the checksum is set by whoever writes them.
"""

from __future__ import annotations

import struct

from sim.ext4.format.extents import plan_tree
from sim.ext4.format.inode import EA_DIGEST_AT, EA_REFERENCES_AT, GOOD_OLD_BYTES
from sim.units import NS_PER_S, SECTOR_BYTES

_SIZE_AT, _CTIME_AT, _DTIME_AT = 0x04, 0x0C, 0x14
_LINKS_AT, _SECTORS_AT, _FLAGS_AT, _BLOCK_AT = 0x1A, 0x1C, 0x20, 0x28
_XATTR_AT, _SIZE_HIGH_AT, _CTIME_EXTRA_AT = 0x68, 0x6C, 0x84
_SECTORS_HIGH_AT, _XATTR_HIGH_AT = 0x74, 0x76


def in_one_sector(start: int, old: bytes | memoryview, new: bytes | bytearray) -> bool:
    """Return whether the bytes that differ lie in one sector; start: where in its table the inode begins."""
    changed = [at for at, (was, now) in enumerate(zip(old, new, strict=True)) if was != now]
    return len({(start + at) // SECTOR_BYTES for at in changed}) <= 1


def add_flags(raw: bytearray, flags: int) -> None:
    """Set flag bits."""
    struct.pack_into("<I", raw, _FLAGS_AT, struct.unpack_from("<I", raw, _FLAGS_AT)[0] | flags)


def sectors(raw: bytes | bytearray) -> int:
    """Return how many sectors of 512 bytes are in use."""
    low, high = (
        struct.unpack_from("<I", raw, _SECTORS_AT)[0],
        struct.unpack_from("<H", raw, _SECTORS_HIGH_AT)[0],
    )
    return int(low | high << 32)


def add_sectors(raw: bytearray, more: int) -> None:
    """Change how many sectors of 512 bytes are in use; `more` may be negative."""
    set_sectors(raw, sectors(raw) + more)


def set_sectors(raw: bytearray, sectors: int) -> None:
    """Set how many sectors of 512 bytes are in use."""
    struct.pack_into("<I", raw, _SECTORS_AT, sectors & 0xFFFF_FFFF)
    struct.pack_into("<H", raw, _SECTORS_HIGH_AT, sectors >> 32)


def set_size(raw: bytearray, size_bytes: int) -> None:
    """Set the size of the contents."""
    struct.pack_into("<I", raw, _SIZE_AT, size_bytes & 0xFFFF_FFFF)
    struct.pack_into("<I", raw, _SIZE_HIGH_AT, size_bytes >> 32)


def set_root(raw: bytearray, root: bytes) -> None:
    """Set the 60 bytes of the root of the extent tree."""
    raw[_BLOCK_AT : _BLOCK_AT + len(root)] = root


def set_changed(raw: bytearray, time_ns: int) -> None:
    """Set mtime and ctime, in ns since 1970; inodes of 128 bytes have seconds."""
    seconds, ns = divmod(time_ns, NS_PER_S)
    struct.pack_into("<2I", raw, _CTIME_AT, seconds & 0xFFFF_FFFF, seconds & 0xFFFF_FFFF)
    if len(raw) > GOOD_OLD_BYTES:
        extra = ns << 2 | seconds >> 32 & 3
        struct.pack_into("<2I", raw, _CTIME_EXTRA_AT, extra, extra)


def set_links(raw: bytearray, links: int) -> None:
    """Set how many names there are."""
    struct.pack_into("<H", raw, _LINKS_AT, links)


def set_deleted(raw: bytearray, time_s: int) -> None:
    """Set when it was deleted, in seconds; of an orphan the number of the next one."""
    struct.pack_into("<I", raw, _DTIME_AT, time_s & 0xFFFF_FFFF)


def set_xattr_block(raw: bytearray, block: int) -> None:
    """Set where the xattr block is; 0 for none."""
    struct.pack_into("<I", raw, _XATTR_AT, block & 0xFFFF_FFFF)
    struct.pack_into("<H", raw, _XATTR_HIGH_AT, block >> 32)


def set_ea_references(raw: bytearray, references: int) -> None:
    """Set how many xattrs have their value in an ea_inode."""
    struct.pack_into("<I", raw, EA_REFERENCES_AT, references & 0xFFFF_FFFF)
    struct.pack_into("<I", raw, _CTIME_AT, references >> 32)


def set_ea_digest(raw: bytearray, digest: int) -> None:
    """Set the hash of its value that an ea_inode keeps."""
    struct.pack_into("<I", raw, EA_DIGEST_AT, digest)


def deleted(raw: bytes | memoryview, block_size: int, time_s: int) -> bytearray:
    """Return an inode as the kernel leaves a deleted one: no links, no blocks, a time of deletion."""
    left = bytearray(raw)
    set_links(left, 0)
    set_xattr_block(left, 0)
    set_size(left, 0)
    struct.pack_into("<I", left, _SECTORS_AT, 0)
    struct.pack_into("<H", left, _SECTORS_HIGH_AT, 0)
    set_deleted(left, time_s)
    root, _blocks = plan_tree([], block_size).encode([])
    set_root(left, root)
    return left
