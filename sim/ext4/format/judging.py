"""
Judging a superblock: whether anything can be made of it, and whether the reader reads it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.errors import ImageError
from sim.ext4.format.descriptor import DESCRIPTOR_BYTES_64BIT
from sim.ext4.format.features import Incompat, RoCompat, refuse_unsupported
from sim.ext4.format.inode import FIRST_USER_INODE, GOOD_OLD_BYTES
from sim.ext4.format.superblock import (
    MAX_LOG_BLOCK_SIZE,
    SUPERBLOCK_MAGIC,
    Superblock,
    parse_superblock,
)

_MAX_LOG_CLUSTER_SIZE = 19
"""512 MiB, the largest cluster of e2fsprogs."""
_MAX_DESCRIPTOR_BYTES = 1024
_LEAST_GROUP_BLOCKS = 8
"""No group has fewer blocks or clusters: a bitmap is made of bytes."""


def decode_superblock(raw: bytes | memoryview, place: str) -> Superblock:
    """
    Return the superblock in 1,024 bytes.

    Raises ImageError, naming `place`, if it is none, has a feature that is not read here, or faults.
    """
    sb = parse_superblock(raw)
    if sb.magic != SUPERBLOCK_MAGIC:
        raise no_superblock(sb, place)
    _refuse_unread(sb, place)
    for problem, allowed in superblock_faults(sb):
        raise ImageError(place, problem, allowed)
    return sb


def no_superblock(sb: Superblock, place: str) -> ImageError:
    """Return the error for bytes without a superblock's magic."""
    return ImageError(
        place, f"the magic is {sb.magic:#06x}, this is no ext4 image", f"{SUPERBLOCK_MAGIC:#06x}"
    )


def _refuse_unread(sb: Superblock, place: str) -> None:
    if sb.has(Incompat.JOURNAL_DEV):  # its other fields mean nothing
        refuse_unsupported(sb.incompat, 0, place)
    if sb.rev_level != 1:
        raise ImageError(place, f"the revision is {sb.rev_level}", "1 (dynamic inode sizes)")
    refuse_unsupported(sb.incompat, sb.ro_compat, place)
    if sb.log_block_size > MAX_LOG_BLOCK_SIZE:
        raise ImageError(
            place,
            f"the block size code is {sb.log_block_size}",
            f"0 to {MAX_LOG_BLOCK_SIZE} (1 to 64 KiB)",
        )


def superblock_faults(sb: Superblock) -> Iterator[tuple[str, str]]:
    """
    Yield what makes a superblock unusable, and what is allowed.

    Of one without faults all that follows from its numbers is bounded by blocks_count.
    """
    if sb.magic != SUPERBLOCK_MAGIC:
        yield f"the magic is {sb.magic:#06x}", f"{SUPERBLOCK_MAGIC:#06x}"
    if sb.rev_level > 1:
        yield f"the revision is {sb.rev_level}", "0 or 1"
    if sb.log_block_size > MAX_LOG_BLOCK_SIZE:
        yield f"the block size code is {sb.log_block_size}", f"0 to {MAX_LOG_BLOCK_SIZE}"
        return
    size, ratio = sb.block_size, sb.cluster_blocks
    if not _is_power_of_2(sb.inode_size, GOOD_OLD_BYTES, size):
        yield f"the inode size is {sb.inode_size}", f"a power of 2 from {GOOD_OLD_BYTES} to {size}"
    if sb.has(Incompat.BIT64) and not _is_power_of_2(
        sb.desc_size, DESCRIPTOR_BYTES_64BIT, _MAX_DESCRIPTOR_BYTES
    ):
        yield (
            f"the descriptor size is {sb.desc_size}",
            f"a power of 2 from {DESCRIPTOR_BYTES_64BIT} to {_MAX_DESCRIPTOR_BYTES}",
        )
    if sb.has(RoCompat.BIGALLOC) and not sb.log_block_size <= sb.log_cluster_size <= _MAX_LOG_CLUSTER_SIZE:
        yield (
            f"the cluster size code is {sb.log_cluster_size}",
            f"{sb.log_block_size} to {_MAX_LOG_CLUSTER_SIZE}",
        )
        return
    first = int(size == 1024 and ratio == 1)
    if sb.first_data_block != first:
        yield f"the first data block is {sb.first_data_block}", f"{first}"
    for word, value, least, most in (
        ("blocks", sb.blocks_per_group, _LEAST_GROUP_BLOCKS, 8 * size * ratio),
        ("inodes", sb.inodes_per_group, 1, 8 * size),
    ):
        if not least <= value <= most:
            yield f"{value} {word} per group", f"{least} to {most}"
            return
    if sb.clusters_per_group * ratio != sb.blocks_per_group:
        yield f"{sb.clusters_per_group} clusters per group", f"{sb.blocks_per_group // ratio}"
    if not sb.has(RoCompat.BIGALLOC) and sb.log_cluster_size != sb.log_block_size:
        yield f"the cluster size code is {sb.log_cluster_size}", f"{sb.log_block_size}, the block size's"
    if sb.blocks_count <= sb.first_data_block + 1:
        yield f"{sb.blocks_count} blocks", "room for a superblock and descriptors"
        return
    yield from _contradictions(sb)


def _contradictions(sb: Superblock) -> Iterator[tuple[str, str]]:
    """Yield counts that cannot be beside others which can."""
    if sb.inodes_count != sb.inodes_per_group * sb.groups_count:
        yield f"{sb.inodes_count} inodes", f"{sb.inodes_per_group} in each of {sb.groups_count} groups"
    if sb.has(Incompat.META_BG) and sb.first_meta_bg > sb.descriptor_blocks:
        yield f"first_meta_bg is {sb.first_meta_bg}", f"at most {sb.descriptor_blocks}"
    if sb.first_data_block + 1 + sb.descriptor_blocks > sb.blocks_count:
        yield f"{sb.groups_count} group descriptors do not fit", f"{sb.blocks_count} blocks"
    if not FIRST_USER_INODE <= sb.first_inode <= sb.inodes_count:
        yield (
            f"the first inode that is not reserved is {sb.first_inode}",
            f"{FIRST_USER_INODE} to {sb.inodes_count}",
        )
    if sb.reserved_gdt_blocks > sb.block_size // 4:
        yield f"{sb.reserved_gdt_blocks} blocks are reserved for descriptors", f"at most {sb.block_size // 4}"


def _is_power_of_2(number: int, least: int, most: int) -> bool:
    return least <= number <= most and number & (number - 1) == 0
