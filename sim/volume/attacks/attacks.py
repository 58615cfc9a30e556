"""
The attacks: faults of a device, which touch no tag, and what Mallory does, who moves and makes tags too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sim.ext4.edit.files import FileEditor
from sim.ext4.format.extents import Extent
from sim.ext4.format.inode import ROOT_INODE
from sim.integrity.plan import PLAN_KEY, Plan
from sim.integrity.protect import protect
from sim.integrity.tagger import Secrets
from sim.volume.attacks.lab import BLOCK_BYTES, FILE_BLOCKS, Lab, edited
from sim.volume.attacks.mallory import DATA, Move, Try, flip_tag, guessed, put_back, tries, with_blocks


@dataclass(frozen=True, slots=True)
class Attack:
    """
    One attack. what: a sentence. fault: of a device, not of Mallory. run: what is left, a try after another.

    harmless: the data is right; what is noticed is a false alarm.
    """

    name: str
    what: str
    fault: bool
    run: Callable[[Lab], Iterator[Try]]
    harmless: bool = False


def _one(raw: bytes) -> Iterator[Try]:
    yield Try(DATA, raw)


def _bit_flip(lab: Lab) -> Iterator[Try]:
    data = bytearray(lab.block(lab.new, "/a", 3))
    data[100] ^= 0x20
    return _one(with_blocks(lab.new, {lab.physical("/a", 3): bytes(data)}))


def _misdirected(lab: Lab) -> Iterator[Try]:
    blocks = {
        lab.physical("/a", 3): lab.block(lab.old, "/a", 3),
        lab.physical("/b", 5): lab.block(lab.new, "/a", 3),
    }
    return _one(with_blocks(lab.new, blocks))


def _lost(lab: Lab) -> Iterator[Try]:
    return _one(with_blocks(lab.new, {lab.physical("/a", 3): lab.block(lab.old, "/a", 3)}))


def _torn(lab: Lab) -> Iterator[Try]:
    half = BLOCK_BYTES // 2
    data = lab.block(lab.new, "/a", 3)[:half] + lab.block(lab.old, "/a", 3)[half:]
    return _one(with_blocks(lab.new, {lab.physical("/a", 3): data}))


def _tags_lost(lab: Lab) -> Iterator[Try]:
    return _one(put_back(lab, lab.alone, lab.old, ["/a"]))


def _tag_flip(lab: Lab) -> Iterator[Try]:
    """The lowest bit of the last byte of what covers block 3 of /a, wherever it lies on the disk."""
    return _one(flip_tag(lab, "/a", 3))


def _swap_inside(lab: Lab) -> Iterator[Try]:
    moves = [Move("/a", 3, lab.new, "/a", 7), Move("/a", 7, lab.new, "/a", 3)]
    return tries(lab, lab.new, moves)


def _swap_between(lab: Lab) -> Iterator[Try]:
    moves = [Move("/a", 3, lab.new, "/b", 5), Move("/b", 5, lab.new, "/a", 3)]
    return tries(lab, lab.new, moves)


def _remapped(lab: Lab, change: Callable[[FileEditor], None]) -> Iterator[Try]:
    """Change which blocks files have; then make every tag anew that needs no key of others."""
    raw = edited(lab.new, change)
    yield Try("maps alone", raw)
    if not lab.plan.scheme.volume_key:
        yield Try("maps, all tags made", edited(raw, lambda editor: protect(editor, lab.plan, guessed(lab))))


def _swap_maps_inside(lab: Lab) -> Iterator[Try]:
    """Exchange where the halves of /a are found, in the root of its tree; no block of data changes."""

    def change(editor: FileEditor) -> None:
        inode, half = editor.image.lookup("/a"), FILE_BLOCKS // 2
        first, *behind = inode.tree.extents
        halves = [
            Extent(0, first.physical + half, half, False),
            Extent(half, first.physical, half, False),
        ]
        # A tree behind the contents may lie in the same extent.
        more = first.length - FILE_BLOCKS
        rest = [Extent(FILE_BLOCKS, first.physical + FILE_BLOCKS, more, False)] if more else []
        editor.set_extents(inode.number, [*halves, *rest, *behind])

    return _remapped(lab, change)


def _swap_maps_between(lab: Lab) -> Iterator[Try]:
    """Exchange all blocks of /a and /b: each inode has the other's map, and nothing else."""

    def change(editor: FileEditor) -> None:
        first, second = (editor.image.lookup(path) for path in ("/a", "/b"))
        maps = list(first.tree.extents), list(second.tree.extents)
        editor.set_extents(first.number, maps[1])
        editor.set_extents(second.number, maps[0])

    return _remapped(lab, change)


def _forge(lab: Lab) -> Iterator[Try]:
    chosen = with_blocks(lab.new, {lab.physical("/a", 3): b"chosen".ljust(BLOCK_BYTES, b"!")})
    yield from tries(lab, lab.new, [Move("/a", 3, chosen, "/a", 3)])


def _rollback_block(lab: Lab) -> Iterator[Try]:
    return tries(lab, lab.new, [Move("/a", 3, lab.old, "/a", 3)], back_to=lab.old)


def _whole_file(lab: Lab) -> list[Move]:
    return [Move("/a", block, lab.old, "/a", block) for block in range(FILE_BLOCKS)]


def _rollback_file(lab: Lab) -> Iterator[Try]:
    return tries(lab, lab.alone, _whole_file(lab), back_to=lab.old)


def _rollback_file_beside(lab: Lab) -> Iterator[Try]:
    return tries(lab, lab.new, _whole_file(lab), back_to=lab.old)


def _rollback_tags(lab: Lab) -> Iterator[Try]:
    return _one(put_back(lab, lab.new, lab.old, ["/a", "/b"]))


def _rollback_image(lab: Lab) -> Iterator[Try]:
    return _one(lab.old)


def _downgrade(lab: Lab) -> Iterator[Try]:
    """Put chosen bytes in a block, take all tags away, and make others that need no key."""
    forged = with_blocks(lab.new, {lab.physical("/a", 3): b"chosen".ljust(BLOCK_BYTES, b"!")})

    def without(editor: FileEditor) -> None:
        root = editor.image.inode(ROOT_INODE)
        editor.set_xattrs(ROOT_INODE, {key: held for key, held in root.xattrs.items() if key != PLAN_KEY})

    def weaker(editor: FileEditor) -> None:
        without(editor)
        protect(editor, Plan.of("per_extent", "checksum", "crc32c"), Secrets())

    yield Try("no plan", edited(forged, without))
    yield Try("crc32c with extents", edited(forged, weaker))


ATTACKS: Mapping[str, Attack] = {
    one.name: one
    for one in (
        Attack("bit_flip", "one bit of a block is flipped", True, _bit_flip),
        Attack("misdirected_write", "a write lands on another file's block", True, _misdirected),
        Attack("lost_write", "a write of data never reaches the disk, its tag does", True, _lost),
        Attack("torn_write", "half of a block is written", True, _torn),
        Attack(
            "lost_tag_write", "the data reaches the disk, its tags do not", True, _tags_lost, harmless=True
        ),
        Attack("tag_bit_flip", "one bit of a tag is flipped", True, _tag_flip, harmless=True),
        Attack("swap_in_file", "two blocks of a file are exchanged", False, _swap_inside),
        Attack("swap_between_files", "two blocks of two files are exchanged", False, _swap_between),
        Attack("remap_in_file", "a file's map exchanges its halves", False, _swap_maps_inside),
        Attack("remap_between_files", "two files have each other's maps", False, _swap_maps_between),
        Attack("forged_block", "a block has chosen bytes", False, _forge),
        Attack("rollback_block", "a block is put back, others were written since", False, _rollback_block),
        Attack("rollback_file", "a file is put back, nothing else was written since", False, _rollback_file),
        Attack(
            "rollback_file_beside",
            "a file is put back, its neighbour was written since",
            False,
            _rollback_file_beside,
        ),
        Attack(
            "rollback_tags", "all tags are put back, the data is not", False, _rollback_tags, harmless=True
        ),
        Attack("rollback_image", "everything is put back", False, _rollback_image),
        Attack("downgrade", "other tags are put in the place of these", False, _downgrade),
    )
}
