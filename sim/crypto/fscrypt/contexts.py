"""
fscrypt: encryption contexts, master keys, and the contents of encrypted files.

Modelled: the on-disk contexts v1 and v2 (fs/crypto/policy.c, Linux 6.1; the data unit size of v2 as of 6.7),
key derivation (fs/crypto/hkdf.c, keysetup.c, keysetup_v1.c) and AES-256-XTS contents (fs/crypto/crypto.c)
with per-file keys or, for v2, with IV_INO_LBLK_64. The format is laid down in the kernel's
Documentation/filesystems/fscrypt.rst.

File names are in sim.crypto.fscrypt.names. Left out: the modes of other ciphers, IV_INO_LBLK_32, DIRECT_KEY
and hardware-wrapped keys. DIRECT_KEY puts the nonce behind the unit number into the IV and so needs 24 bytes
of it, and one mode for contents and names (supported_direct_key_modes() in fs/crypto/policy.c): of all modes
only Adiantum has both, a cipher that `cryptography` has not. With AES-256-XTS no kernel takes it, nor do we.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sim.crypto.ciphers.xts import XTS_KEY_BYTES, Buffer, XtsUnits
from sim.errors import CryptoError

MODE_AES_256_XTS = 1
MODE_AES_256_CTS = 4
MODE_AES_256_HCTR2 = 10
_NAMES_MODES_WITH_XTS = (MODE_AES_256_CTS, MODE_AES_256_HCTR2)

FLAG_PADDING_MASK = 0x03
FLAG_DIRECT_KEY = 0x04
FLAG_IV_INO_LBLK_64 = 0x08
FLAG_IV_INO_LBLK_32 = 0x10
_UNSUPPORTED_FLAGS = {
    FLAG_DIRECT_KEY: "DIRECT_KEY (0x04) with AES-256-XTS, whose IV has no room for the nonce",
    FLAG_IV_INO_LBLK_32: "IV_INO_LBLK_32 (0x10), which is not supported",
}

CONTEXT_BYTES = {1: 28, 2: 40}
NONCE_BYTES = 16
IDENTIFIER_BYTES = 16
DESCRIPTOR_BYTES = 8
UUID_BYTES = 16

_HKDF_MOST_BYTES = 255 * 64
_HKDF_PREFIX = b"fscrypt\0"
_HKDF_KEY_IDENTIFIER = 1
_HKDF_PER_FILE_KEY = 2
_HKDF_IV_INO_LBLK_64_KEY = 4

_MASTER_KEY_BYTES = range(16, 65)
_AES_256_STRENGTH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Context:
    """
    The value of the xattr (index 9, name "c") that makes an inode an encrypted one.

    key_reference: v2: the 16-byte identifier of the master key; v1: its 8-byte descriptor.
    nonce: 16 random bytes of this inode.
    log2_unit_bytes: v2 only; 0 = a data unit is a file system block.
    """

    version: int
    contents_mode: int
    names_mode: int
    flags: int
    key_reference: bytes
    nonce: bytes
    log2_unit_bytes: int = 0

    @classmethod
    def parse(cls, raw: bytes, place: str = "fscrypt context") -> Self:
        """
        Return the context in `raw`.

        Raises CryptoError, naming `place`, for an unknown version, a wrong length or reserved bytes that are
        not zero. Whether modes and flags can be used is for `ContentsCipher` to say: `ls` needs no cipher.
        """
        version = raw[0] if raw else None
        size = CONTEXT_BYTES.get(version) if version is not None else None
        if version is None or size is None:
            raise CryptoError(place, f"encryption context version {version}", "1, 2")
        if len(raw) != size:
            raise CryptoError(place, f"encryption context v{version} of {len(raw)} bytes", f"{size} bytes")
        contents_mode, names_mode, flags = raw[1:4]
        if version == 1:
            return cls(1, contents_mode, names_mode, flags, bytes(raw[4:12]), bytes(raw[12:28]))
        if any(raw[5:8]):
            raise CryptoError(place, f"reserved bytes {raw[5:8].hex()} in encryption context", "zeros")
        return cls(2, contents_mode, names_mode, flags, bytes(raw[8:24]), bytes(raw[24:40]), raw[4])

    def to_bytes(self) -> bytes:
        """Return the 28 or 40 bytes of the xattr; raise CryptoError if a field does not fit its place."""
        reference_bytes = {1: DESCRIPTOR_BYTES, 2: IDENTIFIER_BYTES}.get(self.version)
        small = (self.contents_mode, self.names_mode, self.flags, self.log2_unit_bytes)
        if (
            len(self.key_reference) != reference_bytes
            or len(self.nonce) != NONCE_BYTES
            or not all(0 <= field <= 0xFF for field in small)
            or (self.version == 1 and self.log2_unit_bytes)
        ):
            raise CryptoError("fscrypt context", f"{self} has no on-disk form", "v1 or v2 fields in range")
        head = bytes((self.version, self.contents_mode, self.names_mode, self.flags))
        if self.version == 2:
            head += bytes((self.log2_unit_bytes, 0, 0, 0))
        return head + self.key_reference + self.nonce


class MasterKey:
    """A user's key, from which identifiers and the keys of files are derived. Its repr never shows it."""

    __slots__ = ("_raw", "identifier")

    def __init__(self, raw: bytes) -> None:
        """Raise CryptoError unless `raw` has 16 to 64 bytes, the kernel's bounds."""
        if len(raw) not in _MASTER_KEY_BYTES:
            raise CryptoError("fscrypt master key", f"is {len(raw)} bytes long", "16 .. 64 bytes")
        self._raw = bytes(raw)
        self.identifier: bytes = self._hkdf(_HKDF_KEY_IDENTIFIER, b"", IDENTIFIER_BYTES)
        """The 16 bytes by which a v2 context names this key."""

    def __repr__(self) -> str:
        return f"MasterKey(identifier={self.identifier.hex()})"

    def per_file_key(self, nonce: bytes, length_bytes: int = XTS_KEY_BYTES) -> bytes:
        """Return the key of a file or directory with a v2 context; CryptoError for a weak master key."""
        self._check_bytes(_AES_256_STRENGTH_BYTES)
        return self._hkdf(_HKDF_PER_FILE_KEY, nonce, length_bytes)

    def iv_ino_lblk_64_key(
        self, filesystem_uuid: bytes, mode: int = MODE_AES_256_XTS, length_bytes: int = XTS_KEY_BYTES
    ) -> bytes:
        """Return the key that all IV_INO_LBLK_64 files of a file system share for one mode."""
        self._check_bytes(_AES_256_STRENGTH_BYTES)
        return self._hkdf(_HKDF_IV_INO_LBLK_64_KEY, bytes((mode,)) + filesystem_uuid, length_bytes)

    def v1_per_file_key(self, nonce: bytes, length_bytes: int = XTS_KEY_BYTES) -> bytes:
        """Return the key of a file or directory with a v1 context: AES-128-ECB(nonce, master key)."""
        self._check_bytes(length_bytes)
        # The format demands ECB: the nonce is the key and the master key the data, distinct blocks.
        return Cipher(algorithms.AES(nonce), modes.ECB()).encryptor().update(self._raw[:length_bytes])

    def _check_bytes(self, least: int) -> None:
        if len(self._raw) < least:
            raise CryptoError(
                f"fscrypt master key {self.identifier.hex()}",
                f"{len(self._raw)} bytes are too few for AES-256-XTS",
                f"at least {least} bytes",
            )

    def _hkdf(self, context_byte: int, data: bytes, length_bytes: int) -> bytes:
        return hkdf_sha512(self._raw, _HKDF_PREFIX + bytes((context_byte,)) + data, length_bytes)


def hkdf_sha512(key: bytes, info: bytes, length_bytes: int) -> bytes:
    """Return bytes of HKDF-SHA512 of a key, without salt (RFC 5869); CryptoError for too many."""
    if not 0 < length_bytes <= _HKDF_MOST_BYTES:
        raise CryptoError("HKDF-SHA512", f"{length_bytes} bytes", f"1 .. {_HKDF_MOST_BYTES}")
    return HKDF(SHA512(), length_bytes, salt=None, info=info).derive(key)


class ContentsCipher:
    """
    Decrypts and encrypts the blocks of one encrypted file.

    Blocks are whole file system blocks, also the last one of a file: ext4 pads it with zeros before it
    encrypts. Logical block numbers count from the start of the file.
    """

    __slots__ = ("_first_unit_of_file", "_unit_bytes", "_units_per_block", "_xts", "block_bytes")

    def __init__(
        self,
        master_key: MasterKey,
        context: Context,
        block_bytes: int,
        *,
        inode_number: int | None = None,
        filesystem_uuid: bytes | None = None,
    ) -> None:
        """
        Derive the key of the file; `inode_number` and `filesystem_uuid` are needed for IV_INO_LBLK_64 only.

        Raises CryptoError for a mode, flag or data unit size that is not supported, and for a master key
        other than the one the context names. (A v1 descriptor is a free name that nothing ties to the key.)
        """
        _check_supported(context)
        self.block_bytes = block_bytes
        self._unit_bytes = _unit_bytes(context, block_bytes)
        self._units_per_block = block_bytes // self._unit_bytes
        self._first_unit_of_file = 0
        if context.version == 1:
            self._xts = XtsUnits(master_key.v1_per_file_key(context.nonce))
            return
        if master_key.identifier != context.key_reference:
            raise CryptoError(
                "fscrypt", f"master key {master_key.identifier.hex()}", f"key {context.key_reference.hex()}"
            )
        if context.flags & FLAG_IV_INO_LBLK_64:
            self._first_unit_of_file = _inode_as_unit(inode_number)
            self._xts = XtsUnits(master_key.iv_ino_lblk_64_key(_checked_uuid(filesystem_uuid)))
        else:
            self._xts = XtsUnits(master_key.per_file_key(context.nonce))

    def decrypt_blocks(self, data: Buffer, first_logical_block: int) -> bytes:
        """Return the plaintext of consecutive blocks; CryptoError if `data` is not whole blocks."""
        return self._xts.decrypt(data, self._unit(first_logical_block), self._unit_bytes)

    def decrypt_blocks_into(self, data: Buffer, first_logical_block: int, out: memoryview) -> None:
        """Decrypt consecutive blocks into `out`, which is `cipher.OUT_SLACK_BYTES` longer than `data`."""
        self._xts.decrypt_into(data, self._unit(first_logical_block), self._unit_bytes, out)

    def encrypt_blocks(self, data: Buffer, first_logical_block: int) -> bytes:
        """Return the ciphertext of consecutive blocks; the inverse of `decrypt_blocks`."""
        return self._xts.encrypt(data, self._unit(first_logical_block), self._unit_bytes)

    def decrypt_scattered(self, data: Buffer, logical_blocks: Sequence[int]) -> bytes:
        """Return the plaintext of blocks that lie one after another in `data` and bear these numbers."""
        per_block = self._units_per_block
        units = [
            unit
            for block in logical_blocks
            for unit in range(self._unit(block), self._unit(block) + per_block)
        ]
        return self._xts.decrypt_units(data, units, self._unit_bytes)

    def _unit(self, logical_block: int) -> int:
        return self._first_unit_of_file + logical_block * self._units_per_block


def _check_supported(context: Context) -> None:
    if context.contents_mode != MODE_AES_256_XTS:
        raise CryptoError(
            "fscrypt", f"contents mode {context.contents_mode}", f"{MODE_AES_256_XTS} (AES-256-XTS)"
        )
    if context.names_mode not in _NAMES_MODES_WITH_XTS:
        raise CryptoError(
            "fscrypt", f"names mode {context.names_mode}", "4 (AES-256-CTS), 10 (AES-256-HCTR2)"
        )
    for flag, said in _UNSUPPORTED_FLAGS.items():
        if context.flags & flag:
            raise CryptoError("fscrypt", f"flag {said}", "default IVs, IV_INO_LBLK_64")
    known = FLAG_PADDING_MASK | (FLAG_IV_INO_LBLK_64 if context.version == 2 else 0)
    if context.flags & ~known:
        raise CryptoError("fscrypt", f"unknown flags {context.flags:#04x} in a v{context.version} context")


def _unit_bytes(context: Context, block_bytes: int) -> int:
    unit_bytes = 1 << context.log2_unit_bytes if context.log2_unit_bytes else block_bytes
    if not 512 <= unit_bytes <= block_bytes:
        raise CryptoError(
            "fscrypt", f"data unit of {unit_bytes} bytes", f"512 .. {block_bytes} (the block size)"
        )
    return unit_bytes


def _inode_as_unit(inode_number: int | None) -> int:
    """Return the data unit number of block 0 under IV_INO_LBLK_64: the inode number in bits 32 .. 63."""
    if inode_number is None or not 0 < inode_number < 1 << 32:
        raise CryptoError("fscrypt", f"IV_INO_LBLK_64 with inode number {inode_number}", "1 .. 2^32-1")
    return inode_number << 32


def _checked_uuid(filesystem_uuid: bytes | None) -> bytes:
    if filesystem_uuid is None or len(filesystem_uuid) != UUID_BYTES:
        raise CryptoError("fscrypt", "IV_INO_LBLK_64 without the file system's UUID", "16 bytes")
    return filesystem_uuid
