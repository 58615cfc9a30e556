"""
Opening what the image verbs read: an image file, with or without dm-crypt around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.cli.image.asking import note
from sim.crypto.dmcrypt import CBC_ESSIV, CIPHERS, SECTOR_SIZES, XTS_PLAIN64, DmCrypt, DmCryptStore
from sim.crypto.fscrypt.contexts import MasterKey
from sim.crypto.keys.user_keys import read_secret_bytes
from sim.errors import ConfigError, CryptoError, ImageError
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.replay import replay_journal
from sim.ext4.format.features import Incompat
from sim.ext4.format.journal_blocks import SEQUENCES
from sim.ext4.format.superblock import (
    SUPERBLOCK_BYTES,
    SUPERBLOCK_MAGIC,
    SUPERBLOCK_OFFSET,
    parse_superblock,
)
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore, MmapStore
from sim.volume.named_image import NamedImage

_KEY_BYTES = {XTS_PLAIN64: (64,), CBC_ESSIV: (16, 24, 32)}


@dataclass(frozen=True, slots=True)
class Around:
    """
    The dm-crypt around an image, as the options say it; cipher None: there is none.

    keyfile: the bytes of the key and nothing else, as `cryptsetup --key-file` takes them for a plain device.
    sector_bytes: 512 unless said. iv_large_sectors: sectors are numbered by their own size.
    """

    cipher: str | None = None
    keyfile: Path | None = None
    sector_bytes: int | None = None
    iv_large_sectors: bool = False

    def __post_init__(self) -> None:
        if self.cipher is None:
            given = [
                option
                for option, value in (
                    ("--keyfile", self.keyfile),
                    ("--sector-size", self.sector_bytes),
                    ("--iv-large-sectors", self.iv_large_sectors),
                )
                if value
            ]
            if given:
                raise ConfigError("image", f"{given[0]} without --dm-crypt", "--dm-crypt CIPHER")
        elif self.cipher not in CIPHERS:
            raise ConfigError("--dm-crypt", f"{self.cipher!r}", ", ".join(CIPHERS))
        elif self.keyfile is None:
            raise ConfigError("--dm-crypt", "no key", "--keyfile FILE")
        elif self.sector_bytes is not None and self.sector_bytes not in SECTOR_SIZES:
            raise ConfigError(
                "--sector-size", f"{self.sector_bytes} bytes", ", ".join(str(size) for size in SECTOR_SIZES)
            )

    def store(self, image: Path) -> ByteStore:
        """Return the bytes of the file system in an image file."""
        below = MmapStore(image)
        if self.cipher is None or self.keyfile is None:
            return below
        key = read_secret_bytes(self.keyfile)
        if len(key) not in _KEY_BYTES[self.cipher]:
            allowed = " or ".join(str(count) for count in _KEY_BYTES[self.cipher])
            raise CryptoError(
                str(self.keyfile), f"{len(key)} bytes", f"the {allowed} bytes of a key for {self.cipher}"
            )
        cipher = DmCrypt(self.cipher, key, self.sector_bytes or 512, iv_large_sectors=self.iv_large_sectors)
        return DmCryptStore(below, cipher, str(image))


def _replayed(store: ByteStore, name: str) -> ByteStore:
    """Return a store as it is once its journal is replayed; ImageError if the journal is damaged."""
    if store.size_bytes < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES:
        return store
    superblock = parse_superblock(store.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES))
    if superblock.magic != SUPERBLOCK_MAGIC or not superblock.incompat & Incompat.NEEDS_RECOVERY:
        return store
    overlay = OverlayStore(store)
    found = replay_journal(overlay, name)
    problem = found.damaged or found.aborted
    if problem:
        raise ImageError(f"{name}: journal", problem, "a journal that is whole (run e2fsck)")
    note(
        f"{name} was not unmounted; its journal is replayed in memory: {len(found.blocks())} blocks of "
        f"{(found.end - found.first) % SEQUENCES} transactions"
    )
    return overlay


def open_image(path: Path, around: Around, keys: Mapping[bytes, MasterKey] | None = None) -> Image:
    """
    Return an image; keys: of fscrypt (see read_keys), to show names of encrypted directories.

    One that was not unmounted is read as a mount would find it, its journal replayed in memory; a note says
    so.
    """
    store = around.store(path)
    try:
        store = _replayed(store, str(path))
        if keys is None:
            return Image(store, str(path))
        return NamedImage(store, str(path), keys)
    except ImageError as error:
        if around.cipher is None or "this is no ext4 image" not in error.problem:
            raise
        raise ImageError(
            error.place, f"{error.problem} with this key", "the key, cipher and sector size it was made with"
        ) from None
