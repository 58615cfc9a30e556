"""Where in each group of an image the file system's own blocks lie."""

from __future__ import annotations

from sim.ext4.read.reader import Image


def own_blocks_of(image: Image) -> dict[int, list[range]]:
    """
    Return group -> runs of superblocks, descriptors, bitmaps and inode tables, from the start of the group.

    It is all that is in use in a group that is BLOCK_UNINIT.
    """
    sb = image.superblock
    own: dict[int, list[range]] = {}
    for number in range(sb.groups_count):
        descriptor = image.group(number)
        places = [(descriptor.block_bitmap, 1), (descriptor.inode_bitmap, 1)]
        places.append((descriptor.inode_table, sb.inode_table_blocks))
        places += [(run.start, len(run)) for run in sb.own_blocks(number)]
        for first, length in places:
            at = first - sb.first_data_block
            while length:  # a table may go on in the next group
                group, inside = divmod(at, sb.blocks_per_group)
                count = min(length, sb.blocks_per_group - inside)
                own.setdefault(group, []).append(range(inside, inside + count))
                at, length = at + count, length - count
    return own
