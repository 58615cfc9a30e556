"""
Making an ext4 image from a specification: real groups, trees, directories, xattrs and contents.

The same specification gives the same image to the byte. The image has checksums and a journal only if they
are asked for; see sim.ext4.make.geometry for the features chosen.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import replace

from sim.errors import ConfigError
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.extents import MAX_LOGICAL_BLOCKS, Extent, entries_per_block, normalise
from sim.ext4.format.features import Compat
from sim.ext4.format.inode import (
    EXTRA_ISIZE,
    FLAG_EA_INODE,
    FLAG_ENCRYPTED,
    FLAG_EXTENTS,
    GOOD_OLD_BYTES,
    TYPE_REGULAR,
    RawInode,
    ea_inode,
)
from sim.ext4.format.journal import JOURNAL_INODE, LEAST_BLOCKS, Journal
from sim.ext4.format.superblock import SUPERBLOCK_OFFSET
from sim.ext4.format.xattr import (
    ENCRYPTION_NAME,
    INDEX_ENCRYPTION,
    EaValue,
    encode_block,
    encode_body,
    place_values,
)
from sim.ext4.make.fill import fill_file, given_source, random_source
from sim.ext4.make.geometry import (
    INODE_BYTES,
    Frame,
    clear_of_backups,
    overhead_blocks,
    plan_superblock,
    with_checksums,
)
from sim.ext4.make.layout import Contiguous, Placed
from sim.ext4.make.names import Names, add_all
from sim.ext4.make.placing import (
    File,
    HiddenValue,
    Item,
    place_absolute,
    place_directories,
    place_file,
    place_hidden,
    place_rest,
)
from sim.ext4.make.spec import FileRecord, FileSpec, ImageSpec, Manifest
from sim.ext4.make.sums import set_checksums
from sim.ext4.store import SparseWriter
from sim.units import MIB, SECTOR_BYTES

NEIGHBOURS = "/neighbours"
"""The directory of the files whose blocks lie between those of fragmented and aged files."""

_BODY_ROOM = INODE_BYTES - GOOD_OLD_BYTES - EXTRA_ISIZE


def make_image(path: str | os.PathLike[str], spec: ImageSpec) -> Manifest:
    """
    Write the image that `spec` describes to `path` and return what it holds.

    The file is sparse, is written aside and renamed when whole. Raises ConfigError for a specification
    that cannot be met, ImageError if the file cannot be written.
    """
    place = os.fspath(path)
    names = Names(place)
    files = _files(place, spec, names)
    encrypted = any(file.spec.encryption for file in files)
    size = _auto_size(place, spec, files, names) if spec.size_bytes is None else spec.size_bytes
    inodes = names.last_inode + spec.new_files
    hidden = any(file.item.hidden for file in files)
    superblock = plan_superblock(place, spec.block_size, size, inodes, spec.seed, encrypted, hidden)
    if spec.metadata_csum:
        superblock = with_checksums(superblock)
    frame = Frame(place, clear_of_backups(superblock, _absolute_runs(files)))
    for file in files:
        if file.plan.absolute:
            place_absolute(frame, file)
    frame.place_tables()
    folders = place_directories(frame, names)
    log = _place_journal(frame, spec) if spec.journal_blocks else None
    for file in files:
        if not file.plan.absolute and file.neighbour_of is None:
            place_file(frame, file, files)
    for file in files:
        place_rest(frame, file.item)
        place_hidden(frame, file.item)
    with SparseWriter(path, size) as writer:
        records = tuple(_write_file(writer, spec, file) for file in files)
        for item, blocks in folders:
            _write_directory(writer, frame, item, blocks)
        for item in [file.item for file in files] + [item for item, _blocks in folders]:
            _write_item(writer, frame, item)
        if log is not None:
            _write_item(writer, frame, log)
        directory_inodes = [item.inode for item, _blocks in folders]
        superblock = frame.write(writer, names.last_inode, directory_inodes)
        if spec.metadata_csum:
            set_checksums(writer, superblock, names.last_inode)
        if log is not None:
            root = [extent.physical for item, _blocks in folders[:1] for extent in item.extents]
            _write_journal(writer, frame, log, files, root)
    identity = str(uuid.UUID(bytes=superblock.uuid))
    return Manifest(spec.block_size, superblock.blocks_count, identity, spec.seed, records)


# -- what is to be made ------------------------------------------------------------------------------


def _files(place: str, spec: ImageSpec, names: Names) -> list[File]:
    """Return the files with their plans, neighbours last."""
    numbers = add_all(names, spec.directories, [file.path for file in spec.files])
    files = [_file(place, spec, file, number) for file, number in zip(spec.files, numbers, strict=True)]
    for owner in list(files):
        gap_blocks = owner.plan.span - sum(piece.length for piece in owner.plan.pieces)
        if owner.plan.neighbour and gap_blocks:
            path = f"{NEIGHBOURS}/{owner.item.inode:06d}"
            neighbour = FileSpec(path, gap_blocks * spec.block_size, filled=owner.spec.filled)
            owner.neighbour = len(files)
            files.append(_file(place, spec, neighbour, names.add_file(path)))
            files[-1].neighbour_of = owner.spec.path
    for hidden in (hidden for file in files for hidden in file.item.hidden):
        hidden.item.inode = names.add_hidden()
    return files


def _file(place: str, spec: ImageSpec, file: FileSpec, number: int) -> File:
    where = f"{place}: {file.path}"
    size = file.size_bytes
    if size is None and file.data is not None:
        size = len(file.data)
    if isinstance(file.layout, Placed):
        said = file.layout.size_bytes
        if size is None:
            size = file.layout.blocks * spec.block_size if said is None else said
        if said is not None and size != said:
            raise ConfigError(f"{where}: size", f"{size}", f"{said}, as the layout's text says")
    if size is None or not 0 <= size <= MAX_LOGICAL_BLOCKS * spec.block_size:
        raise ConfigError(f"{where}: size", f"{size}", f"0 to 2^32 blocks of {spec.block_size} bytes")
    if file.data is not None and len(file.data) > size:
        raise ConfigError(f"{where}: size", f"{size} for {len(file.data)} bytes of data", "room for the data")
    xattrs = dict(file.xattrs)
    flags = FLAG_EXTENTS
    if file.encryption:
        xattrs[INDEX_ENCRYPTION, ENCRYPTION_NAME] = file.encryption.context
        flags |= FLAG_ENCRYPTED
    item = Item(where, number, size, TYPE_REGULAR | file.mode & 0o7777, flags=flags)
    item.body_xattrs, item.block_xattrs, large = place_values(where, xattrs, _BODY_ROOM, spec.block_size)
    for key in large:
        hidden = Item(where, 0, len(xattrs[key]), TYPE_REGULAR | 0o600, flags=FLAG_EXTENTS | FLAG_EA_INODE)
        item.hidden.append(HiddenValue(key, xattrs[key], hidden))
    plan = file.layout.plan(-(-size // spec.block_size), spec.seed, file.path)
    return File(file, size, plan, item)


def _absolute_runs(files: list[File]) -> list[tuple[int, int]]:
    """Return the (start, length) of all blocks that layouts name."""
    plans = [file.plan for file in files if file.plan.absolute]
    pieces = [(piece.offset, piece.length) for plan in plans for piece in plan.pieces]
    return pieces + [(block, 1) for plan in plans for block in plan.tree_blocks]


def _auto_size(place: str, spec: ImageSpec, files: list[File], names: Names) -> int:
    """Return the bytes of a device that holds everything with about 2 % to spare, in whole MiB."""
    room = entries_per_block(spec.block_size)
    need = (
        names.blocks_needed(spec.block_size, spec.metadata_csum)
        + 64
        + spec.journal_blocks
        + spec.spare_blocks
    )
    # A tree of many extents, and preallocations of files that are being written.
    need += -(-spec.new_bytes // spec.block_size) * 11 // 10 + 8 * spec.new_files
    top = 0
    for file in files:
        # Backups of the superblock cut long pieces, hence the constant; a neighbour has as many pieces.
        need += 0 if file.neighbour_of else file.plan.span
        need += (2 if file.plan.neighbour else 1) * (len(file.plan.pieces) * 11 // (10 * room) + 8)
        need += sum(len(hidden.value) // spec.block_size + 8 for hidden in file.item.hidden)
        if file.plan.absolute:
            need += sum(piece.length for piece in file.plan.pieces)
            top = max(
                [top, *(piece.offset + piece.length for piece in file.plan.pieces), *file.plan.tree_blocks]
            )
    blocks = max(need, top + 1)
    for _round in range(3):  # more blocks, more groups, more overhead: this settles at once
        size = (blocks * spec.block_size * 51 // 50 + 2 * MIB) // MIB * MIB
        inodes = names.last_inode + spec.new_files
        sb = plan_superblock(place, spec.block_size, size, inodes, spec.seed, False)
        blocks = max(need + overhead_blocks(sb), top + 1)
    return size


def _place_journal(frame: Frame, spec: ImageSpec) -> Item:
    """Give the journal its blocks and name it in the superblock; ConfigError if it is too small."""
    if spec.journal_blocks < LEAST_BLOCKS:
        raise ConfigError(
            f"{frame.place}: journal", f"{spec.journal_blocks} blocks", f"{LEAST_BLOCKS} and more"
        )
    size = spec.journal_blocks * spec.block_size
    item = Item(f"{frame.place}: journal", JOURNAL_INODE, size, TYPE_REGULAR | 0o600)
    logical = 0
    for start, length in frame.allocator.take(spec.journal_blocks, item.place):
        item.extents.append(Extent(logical, start, length, False))
        logical += length
    item.extents = normalise(item.extents)  # a written extent has up to 32768 blocks
    place_rest(frame, item)
    assert item.tree is not None
    root, _blocks = item.tree.encode(item.tree_blocks)
    sb = frame.superblock
    frame.superblock = replace(
        sb,
        compat=sb.compat | int(Compat.HAS_JOURNAL),
        journal_inode=JOURNAL_INODE,
        journal_backup_type=1,
        journal_backup=root + (size >> 32).to_bytes(4, "little") + (size & 0xFFFF_FFFF).to_bytes(4, "little"),
    )
    return item


# -- writing -----------------------------------------------------------------------------------------


def _write_file(writer: SparseWriter, spec: ImageSpec, file: File) -> FileRecord:
    item = file.item
    sha256 = _fill(writer, spec, file) if file.spec.filled else ""
    assert item.tree is not None
    return FileRecord(
        path=file.spec.path,
        size_bytes=file.size_bytes,
        inode=item.inode,
        sha256=sha256,
        layout=_layout_word(file),
        extents=len(item.extents),
        depth=item.tree.depth,
        encrypted=file.spec.encryption is not None,
        block_size=spec.block_size,
        neighbour_of=file.neighbour_of,
    )


def _fill(writer: SparseWriter, spec: ImageSpec, file: File) -> str:
    given = file.spec.data
    return fill_file(
        writer,
        file.item.place,
        file.item.extents,
        spec.block_size,
        file.size_bytes,
        random_source(spec.seed, file.spec.path) if given is None else given_source(given),
        file.spec.encryption.transform if file.spec.encryption else None,
        strict=given is not None,
    )


def _layout_word(file: File) -> str:
    layout = file.spec.layout
    if file.neighbour_of is not None:
        return "neighbour"
    if isinstance(layout, Placed):
        return f"placed ({len(layout.extents)} extents)"
    return "contiguous" if isinstance(layout, Contiguous) else str(layout)


def _write_directory(writer: SparseWriter, frame: Frame, item: Item, blocks: list[bytes]) -> None:
    size = frame.superblock.block_size
    for extent in item.extents:
        data = b"".join(blocks[extent.logical : extent.logical + extent.length])
        writer.write(extent.physical * size, data)


def _write_item(writer: SparseWriter, frame: Frame, item: Item) -> None:
    """Write the inode with its xattrs, the blocks of its tree, and its xattr block."""
    assert item.tree is not None
    size = frame.superblock.block_size
    root, blocks = item.tree.encode(item.tree_blocks)
    for number, data in blocks.items():
        writer.write(number * size, data)
    taken = sum(extent.length for extent in item.extents) + len(blocks) + bool(item.xattr_block)
    for hidden in item.hidden:
        where = item.body_xattrs if hidden.key in item.body_xattrs else item.block_xattrs
        where[hidden.key] = _write_hidden(writer, frame, hidden)
        taken += -(-len(hidden.value) // size)
    if item.xattr_block:
        writer.write(item.xattr_block * size, encode_block(item.block_xattrs, size))
    time_ns = frame.superblock.mkfs_time_s * 1_000_000_000
    raw = RawInode(
        mode=item.mode,
        links=item.links,
        size_bytes=item.size_bytes,
        sectors=taken * size // SECTOR_BYTES,
        flags=item.flags,
        block=root,
        xattr_block=item.xattr_block,
        atime_ns=time_ns,
        ctime_ns=time_ns,
        mtime_ns=time_ns,
    )
    body = encode_body(item.body_xattrs, _BODY_ROOM)
    writer.write(frame.inode_offset(item.inode), raw.encode() + body)


def _write_journal(
    writer: SparseWriter, frame: Frame, item: Item, files: list[File], root: list[int]
) -> None:
    """
    Write the journal: a transaction that made the names of files with an xattr block, one of inode and xattr
    block for each of them, and an empty log. root: blocks of the root directory.
    """
    sb, size = frame.superblock, frame.superblock.block_size
    blocks = [block for e in item.extents for block in range(e.physical, e.physical + e.length)]
    journal = Journal(blocks, size, sb.uuid)
    own = [
        (frame.inode_offset(file.item.inode) // size, file.item.xattr_block)
        for file in files
        if file.item.xattr_block
    ]
    descriptors = sb.first_data_block + 1
    made = (SUPERBLOCK_OFFSET // size, descriptors, *root, *dict.fromkeys(table for table, _ in own))
    for changed in (made, *own) if own else ():
        transaction = journal.commit([(at, writer.read(at * size, size)) for at in changed], sb.mkfs_time_s)
        for at, data in (*transaction.logged, transaction.commit):
            writer.write(at * size, data)
        journal.checkpointed()
    at, data = journal.superblock()
    writer.write(at * size, data)


def _write_hidden(writer: SparseWriter, frame: Frame, hidden: HiddenValue) -> EaValue:
    """Write an xattr value and its inode; return what its owner's entry says."""
    item, size = hidden.item, frame.superblock.block_size
    assert item.tree is not None
    for extent in item.extents:
        piece = hidden.value[extent.logical * size : (extent.logical + extent.length) * size]
        writer.write(extent.physical * size, piece)
    root, blocks = item.tree.encode(item.tree_blocks)
    for number, data in blocks.items():
        writer.write(number * size, data)
    digest = crc32c(crc32c(0xFFFF_FFFF, frame.superblock.uuid), hidden.value)
    taken = sum(extent.length for extent in item.extents) + len(blocks)
    raw = ea_inode(len(hidden.value), digest, taken * size // SECTOR_BYTES, root)
    writer.write(frame.inode_offset(item.inode), raw)
    return EaValue(item.inode, len(hidden.value), digest)
