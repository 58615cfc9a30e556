"""
Describes the volumes of the write recordings as readpath validate needs them: where metadata, journal and
free blocks lie, and the files that are there.

    python experiments/kernel/write_volumes.py FOLDER_OF_IMAGES > volumes.json

volumes.json lies beside the records (results/kernel/linux-6.1.192/writes). The images are those of
write_images.py (w1024.img and so on).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sim.ext4.format.descriptor import GroupDescriptor
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.inode import ROOT_INODE
from sim.ext4.format.journal import JOURNAL_INODE
from sim.ext4.format.superblock import SUPERBLOCK_OFFSET
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.fs.mballoc.image import ImageBitmaps, geometry_of, seeds_of

OVERHEAD_AT = 0x248
"""Where a superblock says how many blocks metadata takes."""


def free_runs(bits: bytes, blocks: int) -> list[list[int]]:
    """Return the runs [first, length] of clear bits."""
    runs: list[list[int]] = []
    for at in range(blocks):
        if not bits[at >> 3] >> (at & 7) & 1:
            if runs and sum(runs[-1]) == at:
                runs[-1][1] += 1
            else:
                runs.append([at, 1])
    return runs


def describe(path: Path) -> dict[str, Any]:
    """Return what there is to know of an image."""
    image = Image.open(path)
    sb, geometry = image.superblock, geometry_of(image)
    bitmaps = ImageBitmaps(image)
    with path.open("rb") as raw:
        raw.seek(SUPERBLOCK_OFFSET + OVERHEAD_AT)
        overhead = int.from_bytes(raw.read(4), "little")
    groups = []
    for number, seed in enumerate(seeds_of(image)):
        blocks = len(sb.group_blocks(number))
        descriptor = image.group(number)
        used = bytes(~byte & 0xFF for byte in image.read_block(descriptor.inode_bitmap))
        groups.append(
            {
                "free": seed.free,
                "bitmap": seed.bitmap_block,
                "uninit": seed.uninit,
                "table": descriptor.inode_table,
                "inode_bitmap": descriptor.inode_bitmap,
                "free_inodes": descriptor.free_inodes,
                "unused_inodes": descriptor.unused_inodes,
                "directories": descriptor.directories,
                "inode_uninit": bool(descriptor.flags & GroupDescriptor.INODE_UNINIT),
                "used_inodes": free_runs(used, sb.inodes_per_group),
                "runs": free_runs(bitmaps.read(number), blocks),
            }
        )
    journal: list[list[int]] = []
    if sb.has(Compat.HAS_JOURNAL):
        tree = image.read_extent_tree(image.inode(JOURNAL_INODE))
        journal = [[e.physical, e.length] for e in tree.extents]
    files, directories = {}, {"/": described_directory(image, image.inode(ROOT_INODE))}
    for name, inode in image.walk():
        if inode.is_directory:
            directories[name] = described_directory(image, inode)
        if not inode.is_regular:
            continue
        tree = image.read_extent_tree(inode)
        files[name] = {
            "inode": inode.number,
            "size": inode.size_bytes,
            "depth": tree.depth,
            "extents": [[*extent[:3], int(extent.unwritten)] for extent in tree.extents],
            "leaf_first": tree.leaf_first,
            "leaf_key": tree.leaf_key,
            "leaf_chain": [list(chain) for chain in tree.leaf_chain],
        }
    return {
        "block_size": sb.block_size,
        "blocks": sb.blocks_count,
        "first_data_block": sb.first_data_block,
        "blocks_per_group": sb.blocks_per_group,
        "log_groups_per_flex": sb.log_groups_per_flex if sb.has(Incompat.FLEX_BG) else 0,
        "flex_bg": sb.has(Incompat.FLEX_BG),
        "wide": sb.has(Incompat.BIT64),
        "checksums": sb.has(RoCompat.METADATA_CSUM),
        "descriptor_checksums": geometry.descriptor_checksums,
        "reserved": sb.reserved_blocks_count,
        "inodes_per_group": sb.inodes_per_group,
        "inode_bytes": sb.inode_size,
        "first_inode": sb.first_inode,
        "hash_seed": sb.hash_seed.hex(),
        "overhead_known": overhead == overhead_of(image),
        "backups": [sb.superblock_block(n) for n in range(1, sb.groups_count) if sb.has_backup(n)],
        "descriptors_at": sb.first_data_block + 1,
        "descriptor_blocks": sb.descriptor_blocks,
        "journal": journal,
        "groups": groups,
        "files": files,
        "directories": directories,
    }


def described_directory(image: Image, inode: Inode) -> dict[str, Any]:
    """Return a directory's inode and its blocks."""
    tree = image.read_extent_tree(inode)
    blocks = [extent.physical + at for extent in tree.extents for at in range(extent.length)]
    return {"inode": inode.number, "blocks": blocks}


def overhead_of(image: Image) -> int:
    """Return how many blocks metadata takes (ext4_calculate_overhead())."""
    sb = image.superblock
    copies = 1 + sum(sb.has_backup(number) for number in range(1, sb.groups_count))
    blocks = sb.first_data_block + copies * (1 + sb.descriptor_blocks + sb.reserved_gdt_blocks)
    blocks += sb.groups_count * (2 + sb.inode_table_blocks)
    if sb.has(Compat.HAS_JOURNAL):
        blocks += sum(e.length for e in image.read_extent_tree(image.inode(JOURNAL_INODE)).extents)
    return blocks


def describe_all(folder: Path) -> dict[str, Any]:
    """Return the description of every image of a folder; of a variant by tune2fs what differs."""
    described = {path.stem: describe(path) for path in sorted(folder.glob("*.img"))}
    for name in described:
        base = name.partition("-")[0]
        if base != name:
            differs = {key: value for key, value in described[name].items() if value != described[base][key]}
            described[name] = {"like": base} | differs
    return described


def main() -> None:
    """Print the description of every image of a folder."""
    json.dump(describe_all(Path(sys.argv[1])), sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
