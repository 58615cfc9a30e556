"""
The counts of a volume's shared blocks as it is mounted for writing: all of them in memory.
"""

from __future__ import annotations

from sim.cache.pages import Mapping
from sim.engine.ledger import Ledger
from sim.errors import ConfigError
from sim.ext4.edit.reflink import counts_inode
from sim.ext4.format.refcounts import decode_leaves, records_per_block
from sim.ext4.read.reader import Image
from sim.fs.refcounts import Leaf, RefCounts
from sim.fs.reflink import Reflink
from sim.machine.files import live_inode
from sim.machine.writer import Ext4Writer


def mount_counts(writer: Ext4Writer, volume: Image, ledger: Ledger) -> None:
    """
    Have a writer copy on write what files share; nothing for a volume on which none does.

    Raises ConfigError where that is not modelled, ImageError for counts that are damaged.
    """
    on_disk = counts_inode(volume)
    if on_disk is None:
        return
    said = "files that share blocks, on a volume that is written,"
    if writer.loop != "page_io":
        raise ConfigError("write_path", f"{said} with write-back of {writer.loop!r}", "page_io")
    if writer.sb.options.data != "ordered" or not writer.sb.delalloc:
        problem = f"{said} with data {writer.sb.options.data!r}, delalloc {writer.sb.delalloc}"
        raise ConfigError("mount", problem, 'data = "ordered", delalloc = true')
    if writer.journal is None:
        raise ConfigError("volume.journal", f"{said} without a journal", 'a size, as "16MiB"')
    raw = [bytes(data) for _at, data in volume.iter_blocks(on_disk)]
    places = [extent.physical + at for extent in on_disk.tree.extents for at in range(extent.length)]
    leaves = decode_leaves(raw, on_disk.place)
    counts = RefCounts(
        [Leaf(block, records) for block, records in zip(places, leaves, strict=True)],
        records_per_block(volume.block_size),
    )
    inode = live_inode(volume, on_disk, Mapping(0, False))
    inode.regular = False
    writer.inodes[inode.number] = inode
    writer.buffers.warm([inode.table_block, *on_disk.tree.blocks, *places])
    writer.mapper.reflink = Reflink(
        writer.clock, ledger, writer.sb, writer.mapper.trees, counts, inode, writer.mapper.map_blocks
    )
