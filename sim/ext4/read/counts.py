"""
Where an image has the counts of shared blocks: a file of the root (sim.ext4.edit.reflink says why there).
"""

from __future__ import annotations

from sim.ext4.format import refcounts
from sim.ext4.format.features import RoCompat
from sim.ext4.format.inode import ROOT_INODE
from sim.ext4.read.reader import Image, Inode

COUNTS_NAME = b".refcounts"
COUNTS_PATH = f"/{COUNTS_NAME.decode()}"


def counts_inode(image: Image) -> Inode | None:
    """
    Return the file of counts; None if there is none.

    Without the feature shared_blocks a file of the name is anybody's.
    """
    if not image.superblock.has(RoCompat.SHARED_BLOCKS):
        return None
    for number, name, _type in image.entries(image.inode(ROOT_INODE)):
        if name == COUNTS_NAME:
            return image.inode(number)
    return None


def counts_of(image: Image) -> dict[int, int]:
    """Return how many files have each shared block, as the image says; ImageError if that is damaged."""
    inode = counts_inode(image)
    if inode is None:
        return {}
    return refcounts.decode((bytes(data) for _at, data in image.iter_blocks(inode)), inode.place)
