"""
dm-crypt: the sectors of an encrypted block device, and a store that shows what lies below them.

Modelled: the IV generators plain64 and essiv of drivers/md/dm-crypt.c (Linux 6.1) with AES-256-XTS and
AES-CBC, in 512- and 4096-byte sectors. A sector's IV is made of its number in units of 512 bytes, whatever
its size, unless `iv_large_sectors` is given. ESSIV is AES of the number under SHA-256 of the key.

Left out: LUKS headers (plain mode only), other ciphers and IV generators, iv_offset (0), several keys,
dm-integrity. One key for everything: whoever has it reads all, whoever has not sees not even a superblock.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.crypto.ciphers.cbc import IV_BYTES, CbcUnits
from sim.crypto.ciphers.xts import MAX_UNIT, OUT_SLACK_BYTES, Buffer, XtsUnits
from sim.errors import CryptoError, ImageError
from sim.units import SECTOR_BYTES

XTS_PLAIN64 = "aes-xts-plain64"
CBC_ESSIV = "aes-cbc-essiv:sha256"
CIPHERS = (XTS_PLAIN64, CBC_ESSIV)
SECTOR_SIZES = (512, 1024, 2048, 4096)

_ESSIV_CHUNK = 1 << 16
"""Sectors whose IVs are made at once when a large device is encrypted."""


class DmCrypt:
    """
    The cipher of a dm-crypt target: decrypts and encrypts sectors by their number.

    Sector numbers count 512 bytes from the start of the device, as the block layer does. Not for use by two
    threads at once.
    """

    __slots__ = ("_cbc", "_essiv", "_unit_shift", "_xts", "cipher", "sector_bytes")

    def __init__(
        self, cipher: str, key: bytes, sector_bytes: int = SECTOR_BYTES, *, iv_large_sectors: bool = False
    ) -> None:
        """
        cipher: one of CIPHERS. key: 64 bytes for XTS; 16, 24 or 32 for CBC. sector_bytes: of SECTOR_SIZES.

        Raises CryptoError for anything else.
        """
        if cipher not in CIPHERS:
            raise CryptoError("dm-crypt", f"cipher {cipher!r}", ", ".join(CIPHERS))
        if sector_bytes not in SECTOR_SIZES:
            raise CryptoError("dm-crypt", f"sectors of {sector_bytes} bytes", "512, 1024, 2048 or 4096")
        self.cipher = cipher
        self.sector_bytes = sector_bytes
        # By how much the IV of the next sector is higher.
        self._unit_shift = 0 if iv_large_sectors else (sector_bytes // SECTOR_BYTES).bit_length() - 1
        self._xts: XtsUnits | None = None
        if cipher == XTS_PLAIN64:
            self._xts = XtsUnits(key)
        else:
            self._cbc = CbcUnits(key)
            self._essiv = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB())

    def __repr__(self) -> str:
        return f"DmCrypt({self.cipher!r}, <key hidden>, {self.sector_bytes})"

    def decrypt_into(self, source: Buffer, first_sector_512: int, target: memoryview) -> None:
        """
        Decrypt consecutive sectors into `target`.

        source: whole sectors, the first of which starts at sector `first_sector_512` (of 512 bytes).
        target: writable, `len(source)` + cipher.OUT_SLACK_BYTES long, not overlapping `source`; the slack is
        not written to. Raises CryptoError for anything but whole, aligned sectors.
        """
        units = self._units(source, first_sector_512)
        if self._xts is None:
            self._cbc.decrypt_into(source, self._essiv_ivs(units), self.sector_bytes, target)
        else:
            self._xts.decrypt_into(source, units.start, self.sector_bytes, target, units.step)

    def decrypt(self, source: Buffer, first_sector_512: int) -> bytes:
        """Return the plaintext of consecutive sectors; errors as `decrypt_into`."""
        target = bytearray(len(source) + OUT_SLACK_BYTES)
        self.decrypt_into(source, first_sector_512, memoryview(target))
        return bytes(memoryview(target)[: len(source)])

    def encrypt(self, source: Buffer, first_sector_512: int) -> bytes:
        """Return the ciphertext of consecutive sectors: the inverse of `decrypt`, with its errors."""
        units = self._units(source, first_sector_512)
        if self._xts is not None:
            return self._xts.encrypt_units(source, units, self.sector_bytes)
        view, size = memoryview(source), self.sector_bytes
        parts = [
            self._cbc.encrypt(
                view[at * size : (at + _ESSIV_CHUNK) * size],
                self._essiv_ivs(units[at : at + _ESSIV_CHUNK]),
                size,
            )
            for at in range(0, len(units), _ESSIV_CHUNK)
        ]
        return b"".join(parts)

    def _units(self, source: Buffer, first_sector_512: int) -> range:
        """Return the IV numbers of the sectors in `source`."""
        count, rest = divmod(len(source), self.sector_bytes)
        per_sector = self.sector_bytes // SECTOR_BYTES
        if rest or not count or first_sector_512 % per_sector:
            raise CryptoError(
                "dm-crypt",
                f"{len(source)} bytes at sector {first_sector_512}",
                f"whole, aligned sectors of {self.sector_bytes} bytes",
            )
        step = 1 << self._unit_shift
        first = first_sector_512 if step > 1 else first_sector_512 // per_sector
        if first < 0 or first + (count - 1) * step > MAX_UNIT:
            raise CryptoError("dm-crypt", f"sector {first_sector_512}", "0 .. 2^64-1")
        return range(first, first + count * step, step)

    def _essiv_ivs(self, units: range) -> bytes:
        """Return the IVs of sectors in one piece: AES of the numbers, 64 bits little endian, zero-padded."""
        numbers = np.zeros((len(units), IV_BYTES // 8), dtype="<u8")
        numbers[:, 0] = np.uint64(units.start) + np.arange(len(units), dtype=np.uint64) * np.uint64(
            units.step
        )
        return self._essiv.encryptor().update(numbers.tobytes())


class Below(Protocol):
    """What lies below a DmCryptStore: the bytes of a device, as sim.ext4.store has them."""

    @property
    def size_bytes(self) -> int:
        """The number of bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return `length` bytes from byte `offset`."""
        ...


class DmCryptStore:
    """
    The plaintext of an encrypted device, decrypted when it is read.

    It has what the image reader asks of a store, so that an ext4 reader can sit on it. A rest of the
    device that is no whole sector is not there.
    """

    def __init__(self, below: Below, cipher: DmCrypt, name: str = "dm-crypt") -> None:
        self._below = below
        self._cipher = cipher
        self._name = name

    @property
    def size_bytes(self) -> int:
        """The number of bytes the store holds."""
        size = self._below.size_bytes
        return size - size % self._cipher.sector_bytes

    def read(self, offset: int, length: int) -> memoryview:
        """Return `length` bytes of plaintext from byte `offset`; raise ImageError if they are not there."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise ImageError(
                self._name, f"bytes {offset} to {offset + length} are asked for", f"0 to {self.size_bytes}"
            )
        if not length:
            return memoryview(b"")
        sector = self._cipher.sector_bytes
        start = offset - offset % sector
        stop = -(-(offset + length) // sector) * sector
        target = bytearray(stop - start + OUT_SLACK_BYTES)
        source = self._below.read(start, stop - start)
        self._cipher.decrypt_into(source, start // SECTOR_BYTES, memoryview(target))
        return memoryview(target).toreadonly()[offset - start : offset - start + length]
