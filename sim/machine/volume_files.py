"""
The files of a volume as a machine has them: looked up, with their keys, caches in the state asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim.cache.pages import CONTENT_SLACK_BYTES, Mapping
from sim.config.cell import Cell
from sim.crypto.ecryptfs import HEADER_BYTES
from sim.crypto.fscrypt.contexts import ContentsCipher, Context
from sim.crypto.keys.data_units import XtsContents
from sim.crypto.keys.keyfile import read_keys
from sim.engine.streams import stream
from sim.errors import ConfigError, CryptoError
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.extents import ExtentTree
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.fs.file_bytes import Encrypt
from sim.fs.fs_inode import FsInode
from sim.fs.read_tree_map import ReadMap
from sim.machine.initial_cache import (
    absent_runs,
    cache_as_read,
    cache_pages,
    every_nth,
    pages_with_buffers,
    random_share,
)
from sim.machine.machine import Machine
from sim.machine.schemes import Scheme, xattr_blocks
from sim.machine.tag_judges import SealedContents
from sim.machine.verify import PieceVerifier, StreamVerifier, Verifier
from sim.stack.ecryptfs import EcryptfsInode
from sim.volume.images import keys_of
from sim.volume.verity_image import descriptor_of
from sim.workload.fio.files import file_names


@dataclass(slots=True)
class VolumeFile:
    """
    A file of the volume as the machine sees it. found: on the image; None for one that is not there yet.
    grows_to: how long jobs make one that has no byte yet, in bytes; 0 for others. source: what a job that
    makes it clones, None: nothing.
    """

    path: str
    inode: FsInode | EcryptfsInode
    mapping: Mapping
    found: Inode | None

    xattr_blocks: list[list[int]]
    """See sim.machine.schemes.xattr_blocks."""

    encrypt: Encrypt | None = None
    grows_to: int = 0
    source: VolumeFile | None = None

    @property
    def on_disk(self) -> Inode:
        """Its inode on the image."""
        assert self.found is not None
        return self.found

    @property
    def job_bytes(self) -> int:
        """How long it is for a job: as long as it is, or is to become."""
        return self.grows_to or self.inode.size_bytes


def absent_file(volume: Image, machine: Machine, path: str, grows_to: int) -> VolumeFile:
    """Return a file that is not there before a job makes it."""
    inode = FsInode(ExtentTree(0, [], [0], [0], [()]), 0, volume.block_size)
    return VolumeFile(path, inode, machine.mapping(inode), None, [], grows_to=grows_to)


def open_volume_file(
    cell: Cell,
    image: Path,
    volume: Image,
    machine: Machine,
    path: str,
    system: Scheme,
    grows_to: int = 0,
    sealed: Callable[[Inode], SealedContents | None] | None = None,
) -> VolumeFile:
    """
    Look a file up, find its key, and bring caches into the asked-for state.

    grows_to: how long jobs make it, if it may be empty. sealed: what decrypts a file by its tags.
    """
    on_disk = volume.lookup(path)
    if not on_disk.is_regular or not (on_disk.size_bytes or grows_to):
        raise ConfigError(path, f"is a {on_disk.type_word} of {on_disk.size_bytes} bytes", "a file with data")
    cipher: ContentsCipher | XtsContents | None = None
    has_key = on_disk.is_encrypted or system.wraps_keys
    if has_key and cell.config.data == "real":
        if system.wraps_keys:
            cipher = system.file_contents(on_disk, path, volume.block_size)
        else:
            cipher = _cipher(cell, image, volume, on_disk, path)
    contents = sealed(on_disk) if sealed is not None else None
    decrypt = cipher.decrypt_blocks_into if cipher is not None else None
    indirect, mapping_kind = on_disk.indirect, cell.config.mapping
    if indirect is not None and mapping_kind != "indirect" and isinstance(mapping_kind, str):
        raise ConfigError("mapping", f"{mapping_kind!r}, but {path} has a block map", "indirect")
    encrypted = has_key and not system.inline
    inode = FsInode(
        on_disk.tree,
        on_disk.size_bytes,
        volume.block_size,
        encrypted,
        decrypt if contents is None else contents.decrypt_blocks_into,
        inline=system.inline,
        indirect=indirect,
    )
    if machine.spec.validity is not None:
        sums = Checksums(volume.superblock)
        seed = sums.inode_seed(on_disk.raw_bytes, on_disk.number) if sums.on else None
        inode.map = ReadMap(on_disk.tree, bytes(on_disk.raw.block), seed)
    status = cell.config.cache.status
    if status == "warm":
        inode.map.status.fill()
    if status != "all_cold":
        machine.buffers.warm(list(indirect.nodes.values()) if indirect is not None else on_disk.tree.blocks)
    descriptor = descriptor_of(volume, on_disk)
    if descriptor is not None:
        machine.enable_verity(inode, descriptor if cell.config.data == "real" else None)
    opened = system.upper_inode(machine, volume, on_disk, inode, path)
    mapping = machine.mapping(opened)
    if isinstance(opened, FsInode) and on_disk.size_bytes:
        _fill_page_cache(cell, machine, mapping, opened, path)
    encrypt = cipher.encrypt_blocks if cipher is not None and contents is None else None
    return VolumeFile(path, opened, mapping, on_disk, xattr_blocks(volume, on_disk), encrypt, grows_to)


def _fill_page_cache(cell: Cell, machine: Machine, mapping: Mapping, inode: FsInode, path: str) -> None:
    """Have the pages cached that the experiment asks for."""
    said = cell.config.cache.pages
    if said == "empty":
        return
    if said == "warm":
        cache_as_read(machine, mapping, inode, [(0, inode.pages)])
        return
    if said.every is not None:
        ranges = every_nth(inode.pages, said.every)
    else:
        ranges = random_share(inode.pages, said.share or 0, stream(cell.seed, f"cached pages {path}"))
    if said.buffers:
        pages_with_buffers(machine, mapping, inode, ranges, said.uptodate_blocks)
    else:
        cache_pages(machine, mapping, inode, ranges)


def _cipher(cell: Cell, image: Path, volume: Image, inode: Inode, path: str) -> ContentsCipher:
    context = Context.parse(inode.encryption_context or b"", path)
    keys_path = keys_of(cell, image)
    public = cell.config.volume.image is None  # made from the experiment's seed, which anyone can read
    keys = read_keys(keys_path, public=public) if keys_path is not None else {}
    key = keys.get(context.key_reference)
    if key is None:
        raise CryptoError(path, f"no key {context.key_reference.hex()}", "volume.keys with that key")
    return ContentsCipher(
        key, context, volume.block_size, inode_number=inode.number, filesystem_uuid=volume.uuid
    )


def ext4_side(file: VolumeFile) -> tuple[FsInode, Mapping]:
    """Return a file of ext4 and its pages: on eCryptfs the lower one's."""
    if isinstance(file.inode, EcryptfsInode):
        lower = file.inode.lower
        assert isinstance(lower.inode, FsInode)
        return lower.inode, lower.mapping
    return file.inode, file.mapping


def preload(machine: Machine, file: VolumeFile, start: int, end: int) -> None:
    """Have pages [start, end) of a file of no upper file system cached, as fio's pre_read leaves them."""
    assert isinstance(file.inode, FsInode)
    cache_as_read(machine, file.mapping, file.inode, absent_runs(file.mapping, start, end))


def verifier_of(
    volume: Image, file: VolumeFile, in_order: bool, sha256: str | None, verified: bool = False
) -> Verifier:
    """
    Return the check of what is read of a file: by stream where it is read once, front to back.

    sha256: of what it was made with, None for a given image. verified: what is not as it was made is for its
    checksums to notice.
    """
    if sha256 is not None and in_order:
        return StreamVerifier(file.inode.size_bytes, sha256)
    plaintext = plain_contents(volume, file.on_disk, file.inode)
    if sha256 is not None and not verified and hashlib.sha256(plaintext).hexdigest() != sha256:
        raise CryptoError(
            file.path, "the plaintext's digest is not the one it was made with", "the right key"
        )
    return PieceVerifier(plaintext)


def plain_contents(volume: Image, on_disk: Inode, inode: FsInode | EcryptfsInode) -> bytes:
    """Return a file's plaintext without the simulator: read, decrypt what is written, cut at EOF."""
    block_size = volume.block_size
    raw = volume.read_file(on_disk, whole_blocks=True)
    if isinstance(inode, EcryptfsInode):
        assert inode.key is not None
        return inode.key.decrypt_extents(raw[HEADER_BYTES : on_disk.size_bytes], 0)[: inode.size_bytes]
    if inode.decrypt is None:
        return raw[: on_disk.size_bytes]
    plain = memoryview(bytearray(len(raw) + CONTENT_SLACK_BYTES))
    for extent in on_disk.tree.extents:
        start, end = extent.logical, min(extent.logical + extent.length, inode.blocks)
        if not extent.unwritten and start < end:
            data = memoryview(raw)[start * block_size : end * block_size]
            inode.decrypt(data, start, plain[start * block_size : end * block_size + CONTENT_SLACK_BYTES])
    return bytes(plain[: on_disk.size_bytes])


def known_files(cell: Cell, volume: Image) -> list[str]:
    """
    Return the paths of the volume's files, without a leading slash; of a given image that has all files which
    the jobs name, these alone.
    """
    if cell.config.volume.image is None:
        return [file.name for file in cell.config.volume.all_files]
    jobs = cell.config.workload.jobs
    if all(job.filename is not None for job in jobs):
        named = {name.strip("/") for job in jobs for name in file_names(job, 0)}
        if all(volume.is_file(name) for name in named):
            return sorted(named)
    return [path.lstrip("/") for path, inode in volume.walk() if inode.is_regular]
