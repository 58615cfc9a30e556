"""
Small images for tests, and what a careful user does with an image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from sim.ext4.check.run import check_image
from sim.ext4.format.xattr import INDEX_USER
from sim.ext4.make.layout import Aged, Contiguous, Fragmented, Layout, Pattern, Scattered, sparse, unwritten
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import Encryption, FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore

CONTEXT_V2 = bytes([2, 1, 4, 3]) + bytes(4) + bytes(range(32))

LAYOUTS: dict[str, Layout] = {
    "contiguous": Contiguous(),
    "fragmented": Fragmented(1),
    "fragmented-3": Fragmented(3, gap_blocks=2),
    "sparse": sparse(2),
    "odd-pattern": Pattern("1h3d2u1d"),
    "unwritten": unwritten(),
    "aged": Aged(mean_blocks=3),
    "random": Scattered(2),
}


def scramble(block: int, data: bytes) -> bytes:
    """Stand in for a cipher: depends on the block number, keeps the length, is its own inverse."""
    mask = hashlib.shake_128(str(block).encode()).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(data), "big")


def small_spec(block_size: int) -> ImageSpec:
    """Return an image with a little of everything: depths 0 and 1, xattrs in both places, directories."""
    files = (
        FileSpec("/plain", 3 * block_size + 5),
        FileSpec("/dir/sub/hello", data=b"hello\n"),
        FileSpec("/dir/deep", 24 * block_size, Fragmented(1)),
        FileSpec("/dir/odd", 12 * block_size - 1, Pattern("1h3d2u1d")),
        FileSpec("/noted", 10, xattrs={(INDEX_USER, b"a"): b"small", (INDEX_USER, b"big"): b"B" * 300}),
        FileSpec(
            "/secret", 2 * block_size + 1, encryption=Encryption(CONTEXT_V2, scramble), layout=Pattern("1d1h")
        ),
    )
    return ImageSpec(files, block_size, 256 * block_size, seed=7, directories=("/empty",))


def small_image(folder: Path, block_size: int) -> bytes:
    """Return the bytes of the small image."""
    path = folder / f"small{block_size}.img"
    make_image(path, small_spec(block_size))
    return path.read_bytes()


def read_everything(data: bytes | bytearray) -> tuple[int, int]:
    """Open, walk, read and check an image in memory; return (names met, bytes read)."""
    image = Image(MemoryStore(data))
    names = total = 0
    for _path, inode in image.walk():
        names += 1
        _ = inode.xattrs
        if inode.has_contents:
            _ = inode.tree.leaf_of(5)
            total += len(image.read_file(inode))
    return names, total


def outcome(action: Callable[[], object]) -> str:
    """Return "fine", or the one line of a ReadpathError."""
    from sim.errors import ReadpathError

    try:
        action()
    except ReadpathError as error:
        return str(error)
    return "fine"


def check_bytes(data: bytes | bytearray) -> list[str]:
    """Return what check finds in an image in memory."""
    return check_image(Image(MemoryStore(data)))


def metadata_ranges(data: bytes) -> list[range]:
    """Return the bytes of a sound image in which a change can matter to a reader."""
    image = Image(MemoryStore(data))
    size, sb = image.block_size, image.superblock
    ranges = [range(1024, 1024 + 0x180)]
    start = (sb.first_data_block + 1) * size
    ranges += [range(start, start + 32 * sb.groups_count)]
    for number in (2, *range(11, 11 + len(list(image.walk())))):
        inode = image.inode(number)
        group, index = divmod(number - 1, sb.inodes_per_group)
        at = image.group(group).inode_table * size + index * sb.inode_size
        ranges.append(range(at, at + sb.inode_size))
        blocks = list(inode.tree.blocks)
        if inode.is_directory:
            blocks += [extent.physical for extent in inode.tree.extents]
        blocks += [inode.raw.xattr_block] if inode.raw.xattr_block else []
        ranges += [range(block * size, block * size + 400) for block in blocks]
        ranges += [range((block + 1) * size - 320, (block + 1) * size) for block in blocks]
    return ranges


def check_outcome(data: bytes | bytearray) -> str:
    """Return the first problem that check finds, "fine", or the one line of a ReadpathError."""
    found: list[str] = []
    told = outcome(lambda: found.extend(check_bytes(data)))
    return found[0] if found else told
