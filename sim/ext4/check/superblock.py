"""
Judging a superblock, and finding a copy of one that is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.errors import ImageError
from sim.ext4.check.disk import Disk
from sim.ext4.check.fields import Fields
from sim.ext4.check.findings import Findings
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET
from sim.ext4.store import ByteStore

_MAX_LOG_BLOCK = 6
"""Blocks of 64 KiB."""
_STATE_CLEAN, _STATE_ERRORS = 0x1, 0x2
_WIDE_BYTES, _MAX_DESCRIPTOR_BYTES = 64, 1024
_OLD_INODE_BYTES = 128
_LEAST_GROUP = 8
"""No group has fewer blocks or clusters: a bitmap is made of bytes."""


def faults(sb: Fields) -> Iterator[str]:
    """Yield what makes a superblock unusable, the first that is met of each kind."""
    if sb["magic"] != SUPERBLOCK_MAGIC:
        yield f"the magic is {sb['magic']:#06x}, not {SUPERBLOCK_MAGIC:#06x}"
        return
    if sb["revision"] > 1:
        yield f"the revision is {sb['revision']}, not 0 or 1"
    if sb["log_block_size"] > _MAX_LOG_BLOCK:
        yield f"the block size code is {sb['log_block_size']}, not 0 to {_MAX_LOG_BLOCK}"
        return
    size = sb.block_size
    if sb.inode_size < _OLD_INODE_BYTES or sb.inode_size > size or sb.inode_size & (sb.inode_size - 1):
        yield f"the inode size is {sb.inode_size}, not a power of 2 from 128 to {size}"
        return
    wrong = sb.descriptor_bytes < _WIDE_BYTES if sb.has(Incompat.BIT64) else False
    if wrong or sb.descriptor_bytes > min(size, _MAX_DESCRIPTOR_BYTES) or sb.descriptor_bytes % 8:
        yield f"the descriptor size is {sb.descriptor_bytes}"
        return
    yield from _counts(sb, size)


def _counts(sb: Fields, size: int) -> Iterator[str]:
    ratio = sb.ratio
    for what, most in (("blocks_per_group", 8 * size * ratio), ("inodes_per_group", 8 * size)):
        least = _LEAST_GROUP if what == "blocks_per_group" else 1
        if not least <= sb[what] <= most:
            yield f"{sb[what]} {what.replace('_', ' ')}, not {least} to {most}"
            return
    if sb["log_cluster_size"] < sb["log_block_size"] and sb.has(RoCompat.BIGALLOC):
        yield f"the cluster size code is {sb['log_cluster_size']}, below the block size's"
        return
    if ratio > 1 and sb["clusters_per_group"] * ratio != sb["blocks_per_group"]:
        yield f"{sb['clusters_per_group']} clusters per group of {sb['blocks_per_group']} blocks"
        return
    first = 1 if size == 1024 and ratio == 1 else 0
    if sb["first_data_block"] != first:
        yield f"the first data block is {sb['first_data_block']}, not {first}"
        return
    if sb.blocks_count <= sb["first_data_block"] + 1 or sb.groups_count < 1:
        yield f"{sb.blocks_count} blocks"
        return
    if sb["inodes_count"] != sb["inodes_per_group"] * sb.groups_count:
        yield f"{sb['inodes_count']} inodes, not {sb['inodes_per_group']} in each of {sb.groups_count} groups"
    if sb["first_data_block"] + 1 + sb.descriptor_blocks > sb.blocks_count:
        yield f"{sb.groups_count} group descriptors do not fit in {sb.blocks_count} blocks"
    if sb.first_inode > sb["inodes_count"] or sb.first_inode < 11:
        yield f"the first inode that is not reserved is {sb.first_inode}"
    if sb["reserved_gdt_blocks"] > size // 4:
        yield f"{sb['reserved_gdt_blocks']} blocks are reserved for descriptors, at most {size // 4} can be"
    if sb.has(Incompat.META_BG) and sb["first_meta_bg"] > sb.descriptor_blocks:
        yield f"first_meta_bg is {sb['first_meta_bg']}, at most {sb.descriptor_blocks} can be"


def checksum_fault(sb: Fields) -> str | None:
    """Return what is wrong with a superblock's checksum, if it has one."""
    if not sb.has(RoCompat.METADATA_CSUM):
        return None
    counted = crc32c(0xFFFF_FFFF, sb.raw[:0x3FC])
    if counted != sb["checksum"]:
        return f"the checksum is {sb['checksum']:#010x}, {counted:#010x} counted"
    return None


def open_disk(store: ByteStore, name: str, findings: Findings) -> Disk:
    """
    Return the file system in a store; where the superblock is damaged, by the first sound copy.

    Raises ImageError if there is neither: this is no file system, or nothing is left to say what it was.
    """
    sb = _read(store, SUPERBLOCK_OFFSET)
    if sb is None:
        raise ImageError(name, f"{store.size_bytes} bytes are too few for a superblock", "2048 and more")
    wrong = [*faults(sb), *filter(None, (checksum_fault(sb),))]
    if sb["magic"] == SUPERBLOCK_MAGIC and sb.has(Incompat.JOURNAL_DEV):
        raise ImageError(name, "is the journal of another file system (journal_dev)", "a file system")
    if not wrong:
        block = SUPERBLOCK_OFFSET // sb.block_size
        try:
            return _opened(store, name, sb, block)
        except ImageError as error:
            wrong = [f"the group descriptors cannot be read ({error.problem})"]
    for copy, block in _copies(store, sb):
        findings.say("superblock", wrong[0] + f"; the copy in block {block} is used")
        try:
            return _opened(store, name, copy, block)
        except ImageError:
            continue
    if sb["magic"] != SUPERBLOCK_MAGIC:
        raise ImageError(f"{name}: superblock", f"{wrong[0]}: this is no ext4 image", "an ext4 image")
    for text in wrong:
        findings.say("superblock", text)
    usable = not list(faults(sb))
    if not usable:
        findings.unchecked.append("all behind the superblock, which cannot be used and has no sound copy")
        raise UnusableError
    return _opened(store, name, sb, SUPERBLOCK_OFFSET // sb.block_size)


class UnusableError(Exception):
    """The superblock is damaged, and nothing behind it can be looked at."""


def _opened(store: ByteStore, name: str, sb: Fields, block: int) -> Disk:
    return Disk(store, name, sb, block)


def _read(store: ByteStore, at: int) -> Fields | None:
    if at + SUPERBLOCK_BYTES > store.size_bytes:
        return None
    return Fields(store.read(at, SUPERBLOCK_BYTES))


def _copies(store: ByteStore, primary: Fields) -> Iterator[tuple[Fields, int]]:
    """Yield the sound copies in group 1, where each block size, or the damaged one, puts it, and where."""
    for log in range(_MAX_LOG_BLOCK + 1):
        size = 1024 << log
        per_group = {8 * size}
        if log == primary["log_block_size"]:
            per_group.add(primary["blocks_per_group"])
        for block in sorted(count + (log == 0) for count in per_group if count):
            sb = _read(store, block * size)
            if sb is None or sb["log_block_size"] != log or list(faults(sb)) or checksum_fault(sb):
                continue
            if sb["blocks_per_group"] + sb["first_data_block"] == block:
                yield sb, block


def check_superblock(disk: Disk, findings: Findings) -> None:
    """Tell what a usable superblock says that cannot be."""
    sb, place = disk.sb, "superblock"
    size = disk.store.size_bytes // disk.block_size
    if sb.blocks_count > size:
        findings.say(place, f"{sb.blocks_count} blocks in an image of {size}")
    if not sb["state"] & _STATE_CLEAN:
        findings.unclean.append(f"{disk.name}: was not unmounted cleanly")
    if sb["state"] & _STATE_ERRORS:
        findings.unclean.append(f"{disk.name}: the kernel has marked it as damaged")
    if sb.reserved_blocks > sb.blocks_count // 2:
        findings.say(place, f"{sb.reserved_blocks} of {sb.blocks_count} blocks are reserved")
    both = sb.has(RoCompat.METADATA_CSUM) and sb.has(RoCompat.UNINIT_BG)
    if both:
        findings.note(place, "metadata_csum and uninit_bg exclude each other")
    if sb.has(Incompat.CSUM_SEED) and not sb.has(RoCompat.METADATA_CSUM):
        findings.note(place, "metadata_csum_seed without metadata_csum")
    if sb.has(Incompat.BIT64) and not sb.has(Incompat.EXTENTS):
        findings.note(place, "64bit without extent")
    for field in ("min_extra_isize", "want_extra_isize"):
        room = sb.inode_size - _OLD_INODE_BYTES
        if room and sb[field] and (sb[field] < 4 or sb[field] > room or sb[field] % 4):
            findings.note(place, f"{field} is {sb[field]}, not 4 to {room} in steps of 4")
    if sb.has(Compat.RESIZE_INODE) and sb.has(Incompat.META_BG):
        findings.say(place, "resize_inode and meta_bg exclude each other")
    elif sb["reserved_gdt_blocks"] and not sb.has(Compat.RESIZE_INODE):
        findings.say(place, "blocks are reserved for descriptors, and there is no resize_inode")
