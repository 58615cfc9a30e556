"""
Finding a superblock that can be used, the first or a copy, and telling what of it cannot be.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.errors import ImageError
from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.sums import is_wrong
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.features import Compat, Incompat, RoCompat, unknown_features
from sim.ext4.format.inode import GOOD_OLD_BYTES
from sim.ext4.format.judging import no_superblock, superblock_faults
from sim.ext4.format.superblock import (
    MAX_LOG_BLOCK_SIZE,
    MOST_GROUP_BLOCKS,
    SUPERBLOCK_BYTES,
    SUPERBLOCK_MAGIC,
    SUPERBLOCK_OFFSET,
    Superblock,
    parse_superblock,
)
from sim.ext4.store import ByteStore

_STATE_CLEAN, _STATE_ERRORS = 0x1, 0x2


class UnusableError(Exception):
    """The superblock is damaged, and nothing behind it can be looked at."""


def open_disk(store: ByteStore, name: str, findings: Findings) -> Disk:
    """
    Return the file system in a store; where the superblock is damaged, by the first sound copy.

    Raises ImageError if there is neither: this is no file system, or nothing is left to say what it was;
    UnusableError if there is one, and of no use.
    """
    if store.size_bytes < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES:
        raise ImageError(name, f"{store.size_bytes} bytes are too few for a superblock", "2048 and more")
    sb, faults, checksum = _read(store, SUPERBLOCK_OFFSET)
    if sb.magic == SUPERBLOCK_MAGIC and sb.has(Incompat.JOURNAL_DEV):
        raise ImageError(name, "is the journal of another file system (journal_dev)", "a file system")
    wrong = faults + checksum
    if not wrong:
        try:
            return Disk(store, name, sb, sb.superblock_block(0))
        except ImageError as error:
            wrong = [f"the group descriptors cannot be read ({error.problem})"]
    for copy, block in _copies(store, sb):
        findings.say("superblock", f"{wrong[0]}; the copy in block {block} is used")
        try:
            return Disk(store, name, copy, block)
        except ImageError:
            continue
    if sb.magic != SUPERBLOCK_MAGIC:
        raise no_superblock(sb, f"{name}: superblock")
    for text in wrong:
        findings.say("superblock", text)
    if faults:
        findings.unchecked.append("all behind the superblock, which cannot be used and has no sound copy")
        raise UnusableError
    return Disk(store, name, sb, sb.superblock_block(0))


def _read(store: ByteStore, at: int) -> tuple[Superblock, list[str], list[str]]:
    """Return the superblock at a byte, its faults, and what is wrong with its checksum."""
    raw = store.read(at, SUPERBLOCK_BYTES)
    sb = parse_superblock(raw)
    faults = [f"{problem} (allowed: {allowed})" for problem, allowed in superblock_faults(sb)]
    if faults or not is_wrong(raw, Checksums(sb).superblock):
        return sb, faults, []
    return sb, faults, ["the checksum is wrong"]


def _copies(store: ByteStore, primary: Superblock) -> Iterator[tuple[Superblock, int]]:
    """Yield the sound copies in group 1, where each block size, or the damaged one, puts it, and where."""
    for log in range(MAX_LOG_BLOCK_SIZE + 1):
        size = 1024 << log
        per_group = {8 * size, min(8 * size, MOST_GROUP_BLOCKS)}
        if log == primary.log_block_size:
            per_group.add(primary.blocks_per_group)
        for block in sorted(count + (log == 0) for count in per_group if count):
            if block * size + SUPERBLOCK_BYTES > store.size_bytes:
                continue
            sb, *wrong = _read(store, block * size)
            if not any(wrong) and sb.block_size == size and sb.group_blocks(1).start == block:
                yield sb, block


def check_superblock(disk: Disk, findings: Findings) -> None:
    """Tell what a usable superblock says that cannot be."""
    sb, place = disk.sb, "superblock"
    size = disk.store.size_bytes // disk.block_size
    if sb.blocks_count > size:
        findings.say(place, f"{sb.blocks_count} blocks in an image of {size}")
    if not sb.state & _STATE_CLEAN:
        findings.unclean.append(f"{disk.name}: was not unmounted cleanly")
    if sb.state & _STATE_ERRORS:
        findings.unclean.append(f"{disk.name}: the kernel has marked it as damaged")
    if sb.reserved_blocks_count > sb.blocks_count // 2:
        findings.say(place, f"{sb.reserved_blocks_count} of {sb.blocks_count} blocks are reserved")
    for word in unknown_features(sb.compat, sb.incompat, sb.ro_compat):
        findings.say(place, f"has a feature that is not known here: {word}")
    if sb.has(RoCompat.METADATA_CSUM) and sb.has(RoCompat.UNINIT_BG):
        findings.note(place, "metadata_csum and uninit_bg exclude each other")
    if sb.has(Incompat.CSUM_SEED) and not sb.has(RoCompat.METADATA_CSUM):
        findings.note(place, "metadata_csum_seed without metadata_csum")
    if sb.has(Incompat.BIT64) and not sb.has(Incompat.EXTENTS):
        findings.note(place, "64bit without extent")
    room = sb.inode_size - GOOD_OLD_BYTES
    for field, extra in (("min_extra_isize", sb.min_extra_isize), ("want_extra_isize", sb.want_extra_isize)):
        if room and extra and (extra < 4 or extra > room or extra % 4):
            findings.note(place, f"{field} is {extra}, not 4 to {room} in steps of 4")
    if sb.has(Compat.RESIZE_INODE) and sb.has(Incompat.META_BG):
        findings.say(place, "resize_inode and meta_bg exclude each other")
    elif sb.reserved_gdt_blocks and not sb.has(Compat.RESIZE_INODE):
        findings.say(place, "blocks are reserved for descriptors, and there is no resize_inode")
