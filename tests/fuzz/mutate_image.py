"""
Damage to ext4 images: to the bytes that say where things lie and what they are. Where to, chance decides.

With metadata_csum the superblock, the descriptors and the inodes get their checksums anew, mostly: damage is
to reach what reads them.
"""

from __future__ import annotations

import functools
import gzip
import random
from collections.abc import Callable

from sim.ext4.format.checksums import Checksums
from sim.ext4.format.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore

FIRST_FREE_INODE = 11
"""s_first_ino of every image of mke2fs."""
NUMBERS = (0, 1, 2, 3, 7, 8, 11, 12, 0x7F, 0x80, 0xFF, 0x3FF, 0x400, 0x7FFF, 0x8000, 0xFFFF, 1 << 31)
"""Sizes, counts and flags at the edges of their fields."""


class _Sound:
    """A sound image, and where in it what lies: ranges of bytes by kind, each of the metadata."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        image = self.image = Image(MemoryStore(data))
        sb, size = image.superblock, image.block_size
        first = sb.descriptor_block(0) * size
        self.descriptors = [
            range(at, at + sb.descriptor_bytes)
            for at in range(first, first + sb.groups_count * sb.descriptor_bytes, sb.descriptor_bytes)
        ]
        self.inodes: dict[int, range] = {}
        blocks: set[int] = set()
        for number in range(1, sb.inodes_count + 1):
            group, index = divmod(number - 1, sb.inodes_per_group)
            at = image.group(group).inode_table * size + index * sb.inode_size
            if any(data[at : at + sb.inode_size]):
                self.inodes[number] = range(at, at + sb.inode_size)
                blocks |= _metadata(image, number)
        for group in range(sb.groups_count):
            blocks |= {image.group(group).block_bitmap, image.group(group).inode_bitmap}
        self.kinds = [
            [range(SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + 0x270)],
            self.descriptors,
            [*self.inodes.values()],
            [*self.inodes.values()],
            [range(block * size, (block + 1) * size) for block in sorted(blocks)],
            [range(block * size, (block + 1) * size) for block in sorted(blocks)],
        ]

    def seal(self, data: bytearray) -> None:
        """Set the checksums of superblock, descriptors and inodes, where the file system has them."""
        sums = Checksums(self.image.superblock)
        for number, place in self.inodes.items():
            _sealed(data, place, lambda raw, number=number: sums.inode(raw, number))
        for group, place in enumerate(self.descriptors):
            _sealed(data, place, lambda raw, group=group: sums.descriptor(raw, group))
        _sealed(data, range(SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES), sums.superblock)


def _sealed(data: bytearray, place: range, seal: Callable[[bytearray], None]) -> None:
    raw = data[place.start : place.stop]
    seal(raw)
    data[place.start : place.stop] = raw


def _metadata(image: Image, number: int) -> set[int]:
    """Return the blocks of an inode's map, of its xattrs, and those of a directory, a journal or a quota."""
    inode = image.inode(number)
    found = {inode.raw.xattr_block} - {0}
    if inode.has_contents:
        found |= set(inode.tree.blocks) | set(inode.indirect.nodes.values() if inode.indirect else ())
        if inode.is_directory or number < FIRST_FREE_INODE:
            found |= {extent.physical for extent in inode.tree.extents}
    return found


@functools.cache
def _sound(packed: bytes) -> _Sound:
    return _Sound(gzip.decompress(packed))


def image(rng: random.Random, packed: bytes) -> bytes:
    """Return a damaged image (packed again, so that what is kept is small) of a packed sound one."""
    sound = _sound(packed)
    data = bytearray(sound.data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _damage(rng, sound, data)
    if sound.image.superblock.ro_compat and rng.random() < 0.8:
        sound.seal(data)
    if rng.random() < 0.02:
        del data[rng.randrange(len(data)) :]
    return gzip.compress(data, 1, mtime=0)


def _damage(rng: random.Random, sound: _Sound, data: bytearray) -> None:
    place = rng.choice(rng.choice(sound.kinds))
    width = rng.choice((1, 2, 2, 4, 4))
    at = place.start + rng.randrange(0, len(place) - width + 1, width)
    if not any(data[place.start + (at - place.start) // 32 * 32 :][:32]) and rng.random() < 0.8:
        at = place.start + rng.randrange(0, min(len(place), 128) - width + 1, width)
    old = int.from_bytes(data[at : at + width], "little")
    match rng.randrange(9):
        case 0 | 1:
            new = old ^ 1 << rng.randrange(8 * width)
        case 2:
            new = old + rng.choice((-1, 1, -4, 4, 8, 256))
        case 3:
            new = rng.choice(NUMBERS)
        case 4:
            new = rng.choice((0, -1))
        case 5:
            counts = sound.image.blocks_count, sound.image.superblock.inodes_count
            new = rng.choice(counts) + rng.choice((-1, 0, 1))
        case 6:
            new = rng.getrandbits(8 * width)
        case 7:  # what lies at another place of its kind
            other = rng.choice(rng.choice(sound.kinds))
            length = min(len(place), len(other), rng.choice((8, 32, 128, 1024)))
            data[place.start : place.start + length] = data[other.start : other.start + length]
            return
        case _:
            length = rng.choice((8, 32, len(place)))
            data[at : at + length] = bytes(len(data[at : at + length]))
            return
    data[at : at + width] = (new % (1 << 8 * width)).to_bytes(width, "little")
