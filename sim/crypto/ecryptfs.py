"""
eCryptfs: the lower file, that is its header with the wrapped key, and its encrypted extents.

Modelled: the format of fs/ecryptfs (crypto.c, keystore.c; Linux 6.1), which its documentation lays down
only in part: a header of 8192 bytes at the front, then AES-CBC in extents of 4096 bytes, the IV of an
extent being MD5 of the root IV and its decimal number, NUL-padded to 16 bytes; the root IV is MD5 of the
file's key. The file's key is encrypted in ECB with the user's key (tag 3), which the tag 11 after it names
by a signature.

    0  8  bytes of contents, big endian            20  4  bytes of an extent (4096)
    8  8  marker: random, and XOR of it            24  2  extents of the header (2)
    16 4  version (3) << 24 | flags                26     tag 3, tag 11, then zeros

Left out: the header as an xattr, public keys (tag 1), several users' keys, encrypted names, ciphers other
than AES. The format has no integrity: a damaged key or extent decrypts to noise, without an error.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.crypto.ciphers.cbc import CbcUnits
from sim.crypto.ciphers.xts import OUT_SLACK_BYTES, Buffer
from sim.crypto.streams import Random
from sim.errors import CryptoError

HEADER_BYTES = 8192
EXTENT_BYTES = 4096
USER_KEY_BYTES = 64
SALT_BYTES = 8
SIGNATURE_BYTES = 8
DEFAULT_KEY_BYTES = 16
HASH_ITERATIONS = 65536

_MARKER = 0x3C81B7F5
_VERSION = 3
_FLAG_ENCRYPTED = 0x2
_FLAG_NAMES = 0x8
_HEAD = struct.Struct(">QIIIIH")
_TAG_3 = 0x8C
_TAG_11 = 0xED
_CIPHER_CODES = {16: 7, 32: 9}
"""RFC 2440's codes of AES by bytes of the key. AES-192 (8) is stored in 32 bytes and is left out."""
_TAG_3_FIXED = bytes((4, 0, 3, 1))
"""Version, cipher (to be filled in), salted and iterated S2K, MD5: the last two are not what is done."""
_ITERATION_CODE = 0x60
_TAG_11_FIXED = b"\x62\x08_CONSOLE\0\0\0\0"


def passphrase_key(passphrase: bytes, salt: bytes) -> bytes:
    """Return the 64 bytes of a user's key: SHA-512 of salt and passphrase, 65,536 times (ecryptfs-utils)."""
    key = hashlib.sha512(salt + passphrase).digest()
    for _round in range(HASH_ITERATIONS - 1):
        key = hashlib.sha512(key).digest()
    return key


def key_signature(user_key: bytes) -> bytes:
    """Return the 8 bytes by which a header names a user's key."""
    return hashlib.sha512(user_key).digest()[:SIGNATURE_BYTES]


@dataclass(frozen=True, slots=True)
class LowerHeader:
    """
    What the front of a lower file tells without any key.

    size_bytes: of the plaintext. signature: names the user's key. names_encrypted: the flag that says so.
    """

    size_bytes: int
    marker: int
    names_encrypted: bool
    salt: bytes
    wrapped_key: bytes
    signature: bytes

    @classmethod
    def parse(cls, raw: Buffer, place: str = "eCryptfs header") -> Self:
        """Return the header in at least its packets' bytes; CryptoError, naming `place`, if it is none."""
        raw = bytes(raw[:HEADER_BYTES])
        if not is_lower_file(raw):
            raise CryptoError(place, "has no eCryptfs marker", "a lower file")
        size, marker, _check, flags, extent, extents = _HEAD.unpack_from(raw)
        if flags >> 24 != _VERSION:
            raise CryptoError(place, f"version {flags >> 24}", f"{_VERSION}")
        if not flags & _FLAG_ENCRYPTED or extent != EXTENT_BYTES or extent * extents != HEADER_BYTES:
            raise CryptoError(
                place,
                f"flags {flags & 0xFFFFFF:#x}, header of {extents} extents of {extent} bytes",
                f"encrypted, {HEADER_BYTES // EXTENT_BYTES} extents of {EXTENT_BYTES}",
            )
        tag_3, at = _packet(raw, _HEAD.size, _TAG_3, place)
        tag_11, _end = _packet(raw, at, _TAG_11, place)
        wrapped = tag_3[4 + SALT_BYTES + 1 :]
        if tag_3[:1] != _TAG_3_FIXED[:1] or tag_3[2:4] != _TAG_3_FIXED[2:]:
            raise CryptoError(place, f"tag 3 packet that starts {tag_3[:4].hex()}", "version 4, S2K 3, MD5")
        if len(tag_3) < 2 or tag_3[1] != _CIPHER_CODES.get(len(wrapped)):
            raise CryptoError(place, f"a wrapped key of {len(wrapped)} bytes", "AES-128 or AES-256")
        if len(tag_11) != len(_TAG_11_FIXED) + SIGNATURE_BYTES or not tag_11.startswith(_TAG_11_FIXED[:10]):
            raise CryptoError(place, f"tag 11 packet of {len(tag_11)} bytes", "a signature of 8 bytes")
        return cls(
            size,
            marker,
            bool(flags & _FLAG_NAMES),
            tag_3[4 : 4 + SALT_BYTES],
            wrapped,
            tag_11[-SIGNATURE_BYTES:],
        )

    def to_bytes(self) -> bytes:
        """Return the 8192 bytes of the header."""
        flags = _VERSION << 24 | _FLAG_ENCRYPTED | (_FLAG_NAMES if self.names_encrypted else 0)
        head = _HEAD.pack(
            self.size_bytes,
            self.marker,
            self.marker ^ _MARKER,
            flags,
            EXTENT_BYTES,
            HEADER_BYTES // EXTENT_BYTES,
        )
        code = _CIPHER_CODES[len(self.wrapped_key)]
        tag_3 = _TAG_3_FIXED[:1] + bytes((code,)) + _TAG_3_FIXED[2:] + self.salt + bytes((_ITERATION_CODE,))
        tag_3 += self.wrapped_key
        tag_11 = _TAG_11_FIXED + self.signature
        packets = bytes((_TAG_3, len(tag_3))) + tag_3 + bytes((_TAG_11, len(tag_11))) + tag_11
        return (head + packets).ljust(HEADER_BYTES, b"\0")


def is_lower_file(raw: Buffer) -> bool:
    """Return whether bytes from the front of a file bear the marker."""
    if len(raw) < _HEAD.size:
        return False
    _size, marker, check, *_rest = _HEAD.unpack_from(raw)
    return bool(marker ^ check == _MARKER)


def _packet(raw: bytes, at: int, kind: int, place: str) -> tuple[bytes, int]:
    """Return the body of the packet at byte `at`, and where it ends. Bodies here have less than 192 bytes."""
    if len(raw) < at + 2 or raw[at] != kind or raw[at + 1] >= 192 or len(raw) < at + 2 + raw[at + 1]:
        raise CryptoError(place, f"no packet with tag {kind:#04x} at byte {at}", "tag 3, then tag 11")
    end = at + 2 + raw[at + 1]
    return raw[at + 2 : end], end


class LowerFile:
    """
    A lower file of which the key is known: its header, and a cipher for its extents.

    Extents are numbered from 0, behind the header. Not for use by two threads at once.
    """

    __slots__ = ("_cbc", "_root_iv", "header")

    def __init__(self, header: LowerHeader, user_key: bytes) -> None:
        """Unwrap the file's key; CryptoError if `user_key` (64 bytes) is not the one that is named."""
        if len(user_key) != USER_KEY_BYTES:
            raise CryptoError(
                "eCryptfs user key", f"is {len(user_key)} bytes long", f"{USER_KEY_BYTES} bytes"
            )
        if not hmac.compare_digest(key_signature(user_key), header.signature):
            raise CryptoError(
                "eCryptfs",
                f"ENOKEY: the key given is {key_signature(user_key).hex()}",
                f"key {header.signature.hex()}",
            )
        self.header = header
        file_key = _wrapping(user_key, len(header.wrapped_key)).decryptor().update(header.wrapped_key)
        self._cbc = CbcUnits(file_key)
        self._root_iv = hashlib.md5(file_key, usedforsecurity=False).digest()

    def __repr__(self) -> str:
        return f"LowerFile({self.header!r}, <key hidden>)"

    @classmethod
    def create(
        cls,
        size_bytes: int,
        user_key: bytes,
        random: Random,
        *,
        salt: bytes = bytes(SALT_BYTES),
        key_bytes: int = DEFAULT_KEY_BYTES,
    ) -> Self:
        """
        Return a new lower file with a random key of 16 or 32 bytes for `size_bytes` of plaintext.

        salt: that of the passphrase, if there is one; the kernel writes it and never needs it.
        """
        if key_bytes not in _CIPHER_CODES or len(salt) != SALT_BYTES or not 0 <= size_bytes < 1 << 63:
            raise CryptoError(
                "eCryptfs",
                f"a key of {key_bytes} bytes, a salt of {len(salt)}, {size_bytes} bytes of contents",
                "16 or 32, 8, 0 .. 2^63-1",
            )
        wrapped = _wrapping(user_key, key_bytes).encryptor().update(random(key_bytes))
        marker = int.from_bytes(random(4), "big")
        header = LowerHeader(size_bytes, marker, False, salt, wrapped, key_signature(user_key))
        return cls(header, user_key)

    @property
    def lower_bytes(self) -> int:
        """Bytes of the lower file: the header and whole extents."""
        return HEADER_BYTES + -(-self.header.size_bytes // EXTENT_BYTES) * EXTENT_BYTES

    def extent_iv(self, extent: int) -> bytes:
        """Return the 16 bytes of an extent's IV."""
        number = str(extent).encode().ljust(16, b"\0")
        return hashlib.md5(self._root_iv + number, usedforsecurity=False).digest()

    def decrypt_extents_into(self, source: Buffer, first_extent: int, target: memoryview) -> None:
        """
        Decrypt consecutive whole extents into `target`.

        target: writable, `len(source)` + cipher.OUT_SLACK_BYTES long, not overlapping `source`; the slack is
        not written to. Raises CryptoError unless `source` is whole extents.
        """
        self._cbc.decrypt_into(source, self._ivs(source, first_extent), EXTENT_BYTES, target)

    def decrypt_extents(self, source: Buffer, first_extent: int) -> bytes:
        """Return the plaintext of consecutive whole extents; errors as `decrypt_extents_into`."""
        target = bytearray(len(source) + OUT_SLACK_BYTES)
        self.decrypt_extents_into(source, first_extent, memoryview(target))
        return bytes(memoryview(target)[: len(source)])

    def encrypt_extents(self, source: Buffer, first_extent: int) -> bytes:
        """Return the ciphertext of consecutive whole extents: the inverse of `decrypt_extents`."""
        return self._cbc.encrypt(source, self._ivs(source, first_extent), EXTENT_BYTES)

    def lower_contents(self, plaintext: bytes) -> bytes:
        """Return the whole lower file for its plaintext, zero-padded to whole extents."""
        if len(plaintext) != self.header.size_bytes:
            raise CryptoError(
                "eCryptfs", f"{len(plaintext)} bytes", f"{self.header.size_bytes}, as the header says"
            )
        padded = plaintext.ljust(self.lower_bytes - HEADER_BYTES, b"\0")
        return self.header.to_bytes() + (self.encrypt_extents(padded, 0) if padded else b"")

    def _ivs(self, source: Buffer, first_extent: int) -> bytes:
        if first_extent < 0:
            raise CryptoError("eCryptfs", f"extent {first_extent}", "0 and more")
        count = -(-len(source) // EXTENT_BYTES)
        return b"".join(self.extent_iv(extent) for extent in range(first_extent, first_extent + count))


def _wrapping(user_key: bytes, key_bytes: int) -> Cipher[modes.ECB]:
    # The format demands ECB: the wrapped key is random, in one or two blocks.
    return Cipher(algorithms.AES(user_key[:key_bytes]), modes.ECB())
