"""
Merkle trees on an image: made behind each file's last byte, and checked from the root down.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.extents import Extent
from sim.ext4.format.features import RoCompat
from sim.ext4.format.inode import FLAG_VERITY
from sim.ext4.format.xattr import INDEX_TRUSTED, XattrKey
from sim.ext4.read.reader import Image, Inode
from sim.integrity.extents import files_of
from sim.integrity.findings import DATA, GONE, TAGS, Bad, Checked
from sim.integrity.merkle import (
    DESCRIPTOR_BYTES,
    HASH_BYTES,
    Descriptor,
    area_of,
    build_tree,
    encode_area,
    hash_block,
    level_blocks,
    parse_descriptor,
)
from sim.integrity.tagger import LIST_BLOCK, Place, Tagger

SEAL_KEY: XattrKey = (INDEX_TRUSTED, b"readpath.seal")


def data_blocks(image: Image, inode: Inode) -> Iterator[tuple[int, int | None, bytes]]:
    """Yield (logical, physical, bytes) of a file's blocks, whole as a page is hashed; holes are zeros."""
    for logical, length, physical in image.runs(inode):
        for index in range(length):
            at = None if physical is None else physical + index
            data = bytes(image.block_size) if at is None else bytes(image.read_block(at, inode.place))
            yield logical + index, at, data


def _clear_tail(editor: FileEditor, inode: Inode) -> None:
    """Zero what lies behind the last byte of a file in clear, as a kernel has done that wrote it."""
    size, used = editor.image.block_size, inode.size_bytes % editor.image.block_size
    last = inode.tree.find(inode.blocks - 1) if used and not inode.is_encrypted else None
    if last is not None and not last.unwritten:
        at = last.physical + inode.blocks - 1 - last.logical
        data = bytes(editor.image.read_block(at))
        if any(data[used:]):
            editor.write_block(at, data[:used].ljust(size, b"\0"))


def seal_place(tagger: Tagger, inode: Inode) -> Place:
    """Return the place of the seal of a file's root."""
    numbers = (inode.number, inode.raw.generation)
    return tagger.place(b"S", inode.number << 32 | LIST_BLOCK, numbers, inode.number, LIST_BLOCK)


def write_trees(editor: FileEditor, tagger: Tagger) -> None:
    """Give every file its tree, and its seal where the plan has a key."""
    for _path, inode in list(files_of(editor.image)):
        _write_tree(editor, tagger, inode.number)
    editor.add_ro_compat(int(RoCompat.VERITY))


def _write_tree(editor: FileEditor, tagger: Tagger, number: int) -> None:
    inode, size = editor.image.inode(number), editor.image.block_size
    if area_of(inode.size_bytes, size).tree_blocks > editor.image.blocks_count:
        problem = f"a tree over {inode.blocks} blocks, holes included"
        raise ImageError(inode.place, problem, "a file whose tree the image can hold")
    _clear_tail(editor, inode)
    tree = build_tree((data for _at, _physical, data in data_blocks(editor.image, inode)), size)
    tagger.hashed_bytes += (inode.blocks + tree.blocks) * size
    descriptor = Descriptor(size, inode.size_bytes, tree.root)
    raw, area = encode_area(tree, descriptor, size), area_of(inode.size_bytes, size)
    old = [e for e in inode.tree.extents if e.logical >= inode.blocks and not e.unwritten]
    if (area.first, area.end) != (old[0].logical, old[-1].logical + old[-1].length) if old else True:
        editor.free_blocks(e.physical + at for e in old for at in range(e.length))
        kept = [e for e in inode.tree.extents if e not in old]
        old = editor.new_extents(area.first, area.end - area.first, inode.place)
        editor.set_extents(number, [*kept, *old])
    for extent in old:
        for index in range(extent.length):
            at = (extent.logical + index - area.first) * size
            editor.write_block(extent.physical + index, raw[at : at + size])
    editor.set_flags(number, FLAG_VERITY)
    if tagger.plan.scheme.volume_key:
        inode = editor.image.inode(number)
        seal = tagger.of_root(seal_place(tagger, inode), descriptor.digest)
        editor.set_xattrs(number, {**inode.xattrs, SEAL_KEY: seal})


def check_trees(image: Image, tagger: Tagger) -> Checked:
    """Hold every file against its tree, the tree against its root, that against its seal if it has one."""
    done = Checked()
    for path, inode in files_of(image):
        _FileCheck(image, tagger, path, inode, done).run()
    return done


class _FileCheck:
    """The check of one file."""

    def __init__(self, image: Image, tagger: Tagger, path: str, inode: Inode, done: Checked) -> None:
        self.image, self.tagger, self.path, self.inode, self.done = image, tagger, path, inode, done

    def _say(
        self, what: str, logical: int | None, physical: int | None, expected: bytes, found: bytes
    ) -> None:
        self.done.bad.append(Bad(what, self.path, self.inode.number, logical, physical, expected, found))

    def _stored(self, logical: int) -> tuple[int, bytes]:
        extent: Extent | None = self.inode.tree.find(logical)
        if extent is None or extent.unwritten:
            raise ImageError(
                self.inode.place, f"no block {logical} of the tree", "a tree behind the contents"
            )
        physical = extent.physical + logical - extent.logical
        return physical, bytes(self.image.read_block(physical))

    def run(self) -> None:
        """Check it."""
        size, inode = self.image.block_size, self.inode
        area = area_of(inode.size_bytes, size)
        try:
            if not inode.flags & FLAG_VERITY:
                raise ImageError(inode.place, "has no flag for verity", "a tree")
            where, last = self._stored(area.end - 1)
            if int.from_bytes(last[-4:], "little") != DESCRIPTOR_BYTES:
                raise ImageError(inode.place, "no length of a descriptor", f"{DESCRIPTOR_BYTES}")
            descriptor = parse_descriptor(self._stored(area.descriptor)[1], inode.place)
            if (descriptor.block_size, descriptor.data_bytes) != (size, inode.size_bytes):
                raise ImageError(inode.place, "is not as long as its descriptor says", "the same")
            tree = [self._stored(block) for block in range(area.first, area.descriptor)]
        except ImageError:
            self._say(GONE, None, None, b"", b"")
            return
        self.done.tag_bytes += (len(tree) + 1) * size
        self._seal(descriptor, where)
        self._levels(descriptor, tree, area.first)

    def _seal(self, descriptor: Descriptor, where: int) -> None:
        if not self.tagger.plan.scheme.volume_key:
            return
        if not self.tagger.can_judge(self.inode.number):
            self.done.unjudged += 1
            return
        self.done.units += 1
        stored = self.inode.xattrs.get(SEAL_KEY, b"")
        found = self.tagger.of_root(seal_place(self.tagger, self.inode), descriptor.digest)
        if stored != found:
            self._say(TAGS, None, where, stored, found)

    def _levels(self, descriptor: Descriptor, tree: list[tuple[int, bytes]], first: int) -> None:
        """Hold each level against the hashes above it, the data against the leaves."""
        size, salt, at = self.image.block_size, descriptor.salt, 0
        above = [descriptor.root]
        for count in reversed(level_blocks(self.inode.blocks, size)):  # root first, as they lie
            row = b""
            for index, expected in zip(range(at, at + count), above, strict=False):
                physical, block = tree[index]
                self._hold(TAGS, first + index, physical, block, expected, salt)
                row += block
            above = [row[start : start + HASH_BYTES] for start in range(0, len(row), HASH_BYTES)]
            at += count
        contents = data_blocks(self.image, self.inode)
        for (logical, where, data), expected in zip(contents, above, strict=False):
            self._hold(DATA, logical, where, data, expected, salt)

    def _hold(
        self, what: str, logical: int, physical: int | None, data: bytes, expected: bytes, salt: bytes
    ) -> None:
        self.done.units += 1
        self.tagger.hashed_bytes += len(data)
        found = hash_block(data, salt)
        if found != expected:
            self._say(what, logical, physical, expected, found)
