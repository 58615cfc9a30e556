"""
fs-verity in an image: trees for the files of one that is made, and what a file's descriptor says.
"""

from __future__ import annotations

from pathlib import Path

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.inode import FLAG_VERITY
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.integrity.merkle import Descriptor, area_of, parse_descriptor
from sim.integrity.plan import Plan
from sim.integrity.tagger import Secrets, Tagger
from sim.integrity.verity import write_trees


def tree_room(size_bytes: int, block_size: int) -> int:
    """Return how many blocks the tree of a file, and its descriptor, take at most."""
    area = area_of(size_bytes, block_size)
    return area.end - area.first + 1


def enable_verity(path: Path) -> None:
    """Give every file of an image its tree and flag, as FS_IOC_ENABLE_VERITY does with SHA-256, no salt."""
    editor = FileEditor(path)
    plan = Plan.of("merkle", "checksum", "sha256")
    write_trees(editor, Tagger(plan, editor.image.uuid, Secrets(), frozenset()))
    editor.settle()
    editor.commit(in_place=True)


def descriptor_of(volume: Image, inode: Inode) -> Descriptor | None:
    """
    Return the descriptor behind a file's tree, None of a file without fs-verity.

    Raises ImageError for one that is not where ext4 puts it, or of another kind than is read here.
    """
    if not inode.flags & FLAG_VERITY:
        return None
    area = area_of(inode.size_bytes, volume.block_size)
    extent = inode.tree.find(area.descriptor)
    if extent is None or extent.unwritten:
        raise ImageError(
            inode.place, f"no descriptor in block {area.descriptor}", "a tree behind the contents"
        )
    raw = bytes(volume.read_block(extent.physical + area.descriptor - extent.logical, inode.place))
    descriptor = parse_descriptor(raw, inode.place)
    if (descriptor.block_size, descriptor.data_bytes) != (volume.block_size, inode.size_bytes):
        said = f"a tree over {descriptor.data_bytes} bytes in blocks of {descriptor.block_size}"
        raise ImageError(inode.place, said, f"{inode.size_bytes} bytes, {volume.block_size}")
    return descriptor
