"""
Replaying a journal: what a mount and `e2fsck -E journal_only` do to an image that was not unmounted.
"""

from __future__ import annotations

import struct

from sim.errors import ImageError
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.features import Incompat
from sim.ext4.format.journal import log_of
from sim.ext4.format.journal_blocks import SEQUENCES
from sim.ext4.format.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET, parse_superblock
from sim.ext4.read.reader import Image
from sim.ext4.read.replay import LogReader, Replay

_FREE_AT, _FREE_INODES_AT, _STATE_AT, _INCOMPAT_AT, _FREE_HIGH_AT = 0x0C, 0x10, 0x3A, 0x60, 0x158
_VALID, _HAS_ERRORS = 0x1, 0x2


def replay_journal(store: OverlayStore, name: str = "image") -> Replay:
    """
    Bring in place what the log of an image has, and note that it is empty; return what was done.

    The superblock does not need recovery any more. As e2fsck has it, the file system is not valid if the log
    was damaged, and has errors if the replay was aborted or the journal had noted one. A log that is empty is
    only noted as such. Raises ImageError if there is no
    journal, or one of a kind that is left out, or if it has blocks that the file system has not; the store is
    then as it was.
    """
    state = store.state()
    try:
        return _replay(store, name)
    except ImageError:
        store.restore(state)
        raise


def count_free(store: OverlayStore, name: str = "image") -> None:
    """
    Have the superblock count the free blocks and inodes that its group descriptors have.

    A kernel changes it when a file system is unmounted; after a crash e2fsck does so, without a word.
    """
    image = Image(store, name)
    groups = [image.group(number) for number in range(image.superblock.groups_count)]
    free = sum([group.free_blocks for group in groups])
    raw = bytearray(store.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES))
    struct.pack_into("<I", raw, _FREE_AT, free & 0xFFFF_FFFF)
    struct.pack_into("<I", raw, _FREE_HIGH_AT, free >> 32)
    struct.pack_into("<I", raw, _FREE_INODES_AT, sum([group.free_inodes for group in groups]))
    Checksums(image.superblock).superblock(raw)
    store.write(SUPERBLOCK_OFFSET, raw)


def _replay(store: OverlayStore, name: str) -> Replay:
    _change_superblock(store)  # an image that needs recovery is not read
    before = Image(store, name)
    blocks, superblock = log_of(before)
    found = LogReader(before, blocks, superblock).replay()
    size = before.block_size
    for block, data in found.blocks().items():
        before.read_block(block, f"{name}: journal")  # refuses a block that is not there
        store.write(block * size, data)
    # A log that was read whole goes on behind what may still lie in it.
    following = found.first if found.damaged else (found.end + 1) % SEQUENCES
    store.write(blocks[0] * size, superblock.without_error().at(following, 0).encode())
    has_errors = superblock.errno or (found.aborted and not found.damaged)
    _change_superblock(store, _HAS_ERRORS if has_errors else 0, _VALID if found.damaged else 0)
    return found


def note_mounted(store: OverlayStore) -> None:
    """Note what mounting an image for writing notes: that its journal is to be replayed after a crash."""
    _change_superblock(store, recover=True)


def _change_superblock(store: OverlayStore, add: int = 0, clear: int = 0, recover: bool = False) -> None:
    """Note whether the image needs recovery, and change bits of its state."""
    raw = bytearray(store.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES))
    superblock = parse_superblock(bytes(raw))
    struct.pack_into("<H", raw, _STATE_AT, (superblock.state | add) & ~clear)
    features = superblock.incompat & ~Incompat.NEEDS_RECOVERY
    struct.pack_into("<I", raw, _INCOMPAT_AT, features | (Incompat.NEEDS_RECOVERY if recover else 0))
    Checksums(superblock).superblock(raw)
    store.write(SUPERBLOCK_OFFSET, raw)
