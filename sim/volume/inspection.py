"""
What an image tells whoever has it and no key: per file, per scheme, and who shares what with whom.

A name counts as readable if its directory is plain. Contents count as hidden if the file is under a scheme
that encrypts them, and as seen if it is not, whatever they look like; bytes that are under a scheme and fail
a chi-squared test for noise are seen all the same. An image with a superblock that cannot be read is an error
and no statement; one without is told as what it is, bytes of which no file system is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sim.crypto.ecryptfs import HEADER_BYTES, LowerHeader, is_lower_file
from sim.crypto.fscrypt.contexts import Context
from sim.crypto.keys.data_units import TAGS_NAME
from sim.crypto.keys.file_keys import (
    CONTEXT_VERSION,
    KEYS_NAME,
    format_of,
    is_shredded,
    owners,
    parse_context,
)
from sim.errors import CryptoError, ImageError
from sim.ext4.format.features import Incompat
from sim.ext4.format.superblock import SUPERBLOCK_OFFSET, looks_like_superblock
from sim.ext4.read.reader import Image, Inode
from sim.ext4.store import ByteStore, MmapStore
from sim.units import SECTOR_BYTES
from sim.volume.keyed_groups import group_members
from sim.volume.keyed_image import MODES, joined

SAMPLE_BYTES = 1 << 20
_LEAST_SAMPLE_BYTES = 4096
PLAIN = "none"
_OTHERS = (
    (0, b"LUKS\xba\xbe", "a LUKS volume"),
    (0, b"XFSB", "an XFS file system"),
    (0x10040, b"_BHRfS_M", "a btrfs file system"),
    (0x400, b"\x10\x20\xf5\xf2", "an f2fs file system"),
    (0, b"hsqs", "a squashfs file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (0x8001, b"CD001", "an ISO 9660 file system"),
    (0x36, b"FAT", "a FAT file system"),
    (0x52, b"FAT32", "a FAT file system"),
    (0x200, b"EFI PART", "a disk with a partition table"),
    (0x1FE, b"\x55\xaa", "a disk with a boot sector"),
    (0, b"QFI\xfb", "a qcow2 image"),
)
"""(byte, magic, what it is), as `file` knows them, most certain first."""
_BACKUPS = (1024 * 8193, 2048 * 16384, 4096 * 32768)
"""Where mke2fs puts the first copy of the superblock, for blocks of 1, 2 and 4 KiB."""
CHI_SQUARED_BOUND = 255 + 6 * (2 * 255) ** 0.5
"""
Six standard deviations above the mean of chi-squared with 255 degrees of freedom. One sample of noise in
ten million exceeds it (by the Wilson-Hilferty approximation); a text does so by far.
"""


@dataclass(frozen=True, slots=True)
class FileLeak:
    """
    What is known of one file without a key.

    path: with names as they lie there ("~" and base64url of ciphertext). size_bytes: of the plaintext.
    runs: [logical, blocks, physical] of what is written, in blocks. keys: who may read it, as far as it is
    told: ids, signatures of keys, identifiers of master keys. noise: whether the stored bytes pass for
    noise; None if there are too few.
    """

    path: str
    inode: int
    scheme: str
    name_readable: bool
    size_bytes: int
    mtime_ns: int
    uid: int
    runs: list[list[int]]
    holes_blocks: int
    keys: list[str]
    tags: bool
    noise: bool | None


@dataclass(slots=True)
class Inspection:
    """
    What an image tells: file by file, (key, paths) for every key that is named, (group, members' keys).

    device_noise: the device as a whole, if no file system was found: sectors, how many of them were never
    written (zeros), whether the rest passes for noise.
    """

    files: list[FileLeak] = field(default_factory=list)
    sharing: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    device_noise: dict[str, int | bool | None] | None = None

    def opened_by(self, key: str) -> int:
        """Return how many files a key opens; one with several names is one file."""
        return len({file.inode for file in self.files if key in file.keys})

    def schemes(self) -> list[dict[str, str]]:
        """Return a row for each scheme met: what of its files can be seen in this image."""
        rows = []
        for scheme in dict.fromkeys(file.scheme for file in self.files):
            files = [file for file in self.files if file.scheme == scheme]
            rows.append(
                {
                    "scheme": scheme,
                    "files": str(len({file.inode for file in files})),
                    "names": _share(file.name_readable for file in files),
                    "sizes": "exact",  # i_size is in every inode, the size of a lower file in its header
                    "times": "seen",
                    "extents": "seen",
                    "holes": "seen" if any(file.holes_blocks for file in files) else "none here",
                    "keys": _share(bool(file.keys) for file in files),
                    "contents": _share(file.scheme == PLAIN or file.noise is False for file in files),
                    "integrity": _share((file.tags for file in files), "tags", "none"),
                }
            )
        if self.device_noise is not None:
            unseen = dict.fromkeys(("names", "sizes", "times", "extents", "holes", "keys"), "?")
            noise = self.device_noise["noise"]
            seen = "?" if noise is None else "noise" if noise else "seen"
            rows.append(
                {"scheme": "whole device", "files": "?", **unseen, "contents": seen, "integrity": "?"}
            )
        return rows


def _share(flags: Iterable[bool], yes: str = "seen", no: str = "hidden") -> str:
    known = list(flags)
    if not known:
        return "?"
    return yes if all(known) else no if not any(known) else f"{sum(known)} of {len(known)} {yes}"


def looks_like_noise(data: bytes | memoryview) -> bool | None:
    """Return whether the bytes are spread as evenly as noise (chi-squared, 255 degrees); None for too few."""
    if len(data) < _LEAST_SAMPLE_BYTES:
        return None
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    return bool(((counts - expected) ** 2 / expected).sum() < CHI_SQUARED_BOUND)


def inspect(path: Path) -> Inspection:
    """
    Return what the image at `path` tells without a key.

    Raises ImageError, with what it is, for a file system that cannot be read: nothing is known of it.
    """
    store = MmapStore(path)
    if not looks_like_superblock(store, SUPERBLOCK_OFFSET):
        _refuse_others(store, path)
        return Inspection(device_noise=_device(store))
    image = Image(store, str(path))
    if image.superblock.incompat & Incompat.INLINE_DATA:
        raise ImageError(str(path), "inline_data: what lies in inodes is not judged here", "files in blocks")
    found = Inspection(groups=group_members(image))
    encrypted = {"": image.lookup("/").is_encrypted}
    for name, inode in image.walk():
        if inode.is_directory:
            encrypted[name] = inode.is_encrypted
        if not inode.is_regular:
            continue
        leak = _file(image, name, inode, name_readable=not encrypted[name.rpartition("/")[0]])
        found.files.append(leak)
        for key in leak.keys:
            found.sharing.setdefault(key, []).append(name)
    return found


def _refuse_others(store: ByteStore, path: Path) -> None:
    """Raise ImageError for what is known and is no ext4, and for an ext4 without its first superblock."""
    for at in _BACKUPS:
        if looks_like_superblock(store, at):
            raise ImageError(
                str(path), f"the superblock is damaged, and there is a copy at byte {at}", "run e2fsck first"
            )
    for at, magic, what in _OTHERS:
        if at + len(magic) <= store.size_bytes and store.read(at, len(magic)) == magic:
            raise ImageError(str(path), f"is {what}, which is not read here", "an ext4 image")


def _device(store: ByteStore) -> dict[str, int | bool | None]:
    zero, sectors = bytes(SECTOR_BYTES), store.size_bytes // SECTOR_BYTES
    unwritten, sample = 0, bytearray()
    for sector in range(sectors):
        data = bytes(store.read(sector * SECTOR_BYTES, SECTOR_BYTES))
        if data == zero:
            unwritten += 1
        elif len(sample) < SAMPLE_BYTES:
            sample += data
    return {"sectors": sectors, "never_written": unwritten, "noise": looks_like_noise(bytes(sample))}


def _file(image: Image, path: str, inode: Inode, name_readable: bool) -> FileLeak:
    runs = [[run.logical, run.length, run.physical] for run in image.runs(inode) if run.physical is not None]
    front = _front(image, inode)
    scheme, keys = _scheme(inode, front)
    size, contents = inode.size_bytes, front
    if is_lower_file(front):
        size, contents = LowerHeader.parse(front, inode.place).size_bytes, front[HEADER_BYTES:]
    return FileLeak(
        path=path,
        inode=inode.number,
        scheme=scheme,
        name_readable=name_readable,
        size_bytes=size,
        mtime_ns=inode.mtime_ns,
        uid=inode.raw.uid,
        runs=runs,
        holes_blocks=inode.blocks - sum(length for _logical, length, _physical in runs),
        keys=keys,
        tags=bool(joined(inode.xattrs, TAGS_NAME)) if inode.is_encrypted else False,
        noise=looks_like_noise(contents),
    )


def _front(image: Image, inode: Inode) -> bytes:
    """Return the first bytes that are stored, SAMPLE_BYTES at most, in whole blocks."""
    front = bytearray()
    for _logical, block in image.iter_blocks(inode):
        front += block
        if len(front) >= SAMPLE_BYTES:
            break
    return bytes(front)


def _scheme(inode: Inode, front: bytes) -> tuple[str, list[str]]:
    """Return the scheme of a file, and the keys that it names."""
    raw = inode.encryption_context
    if not inode.is_encrypted:
        if is_lower_file(front):
            return "ecryptfs", [LowerHeader.parse(front, inode.place).signature.hex()]
        return PLAIN, []
    if raw is None:
        return "encrypted, no context", []
    try:
        if raw[:1] == bytes((CONTEXT_VERSION,)):
            return _file_keys(inode, parse_context(raw, inode.place))
        context = Context.parse(raw, inode.place)
    except CryptoError:
        return "encrypted, damaged context", []
    return f"fscrypt v{context.version}", [context.key_reference.hex()]


def _file_keys(inode: Inode, mode: int) -> tuple[str, list[str]]:
    word = next(name for name, number in MODES.items() if number == mode)
    wrapped = joined(inode.xattrs, KEYS_NAME)
    try:
        return f"file-keys {format_of(wrapped, inode.place).NAME} {word}", owners(wrapped, inode.place)
    except CryptoError:
        return f"file-keys {'shredded' if is_shredded(wrapped) else 'damaged'} {word}", []
