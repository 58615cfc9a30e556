"""Which blocks of an image are free, by its bitmaps."""

from __future__ import annotations

import numpy as np

from sim.ext4.format.descriptor import GroupDescriptor
from sim.ext4.read.own_blocks import own_blocks_of
from sim.ext4.read.reader import Image


def free_runs(image: Image, uninitialised: bool = False) -> list[tuple[int, int]]:
    """
    Return the free runs of initialised groups as (first block, length), in order.

    uninitialised: those of groups whose bitmap was never written, too.
    """
    sb = image.superblock
    runs: list[tuple[int, int]] = []
    own = own_blocks_of(image) if uninitialised else {}
    for group in range(sb.groups_count):
        descriptor = image.group(group)
        blocks = sb.group_blocks(group)
        if not descriptor.flags & GroupDescriptor.BLOCK_UNINIT:
            bitmap = image.store.read(descriptor.block_bitmap * sb.block_size, sb.block_size)
            bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=len(blocks), bitorder="little")
        elif uninitialised:
            bits = np.zeros(len(blocks), dtype=np.uint8)
            for run in own.get(group, ()):
                bits[run.start : run.stop] = 1
        else:
            continue
        edges = np.flatnonzero(np.diff(bits, prepend=1, append=1)).tolist()
        runs += [(blocks.start + start, stop - start) for start, stop in zip(*[iter(edges)] * 2, strict=True)]
    return runs
