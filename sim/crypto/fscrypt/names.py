"""
fscrypt: names in encrypted directories and targets of symlinks, AES-256-CTS with a key of either.

Modelled: fs/crypto/fname.c (Linux 6.1): a name is padded with NULs to 4, 8, 16 or 32 bytes (the context's
flags) and to 16 at least, then encrypted in CBC with ciphertext stealing, the last two blocks changing
places (CS3 of NIST SP 800-38A's addendum) even when nothing is stolen. The IV is zeros, or with
IV_INO_LBLK_64 the directory's inode number in its bytes 4 to 7. The same name in the same directory is
therefore the same ciphertext: equality leaks, and length up to the padding.

Left out: AES-256-HCTR2, Adiantum, the kernel's form of names shown without a key.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.crypto.fscrypt.contexts import (
    FLAG_IV_INO_LBLK_64,
    FLAG_PADDING_MASK,
    MODE_AES_256_CTS,
    UUID_BYTES,
    Context,
    MasterKey,
)
from sim.errors import CryptoError

_AES_BLOCK_BYTES = 16
_CTS_KEY_BYTES = 32
MAX_NAME_BYTES = 255


class NamesCipher:
    """Encrypts and decrypts the names in one directory. Its repr never shows its key."""

    __slots__ = ("_aes", "_iv", "_padding")

    def __init__(
        self,
        master_key: MasterKey,
        context: Context,
        *,
        inode_number: int | None = None,
        filesystem_uuid: bytes | None = None,
    ) -> None:
        """
        context: the directory's; `inode_number` and `filesystem_uuid` are needed for IV_INO_LBLK_64 only.

        Raises CryptoError for modes and flags that are not supported, and for a master key other than the one
        the context names.
        """
        if context.names_mode != MODE_AES_256_CTS:
            raise CryptoError("fscrypt names", f"names mode {context.names_mode}", "4 (AES-256-CTS)")
        known = FLAG_PADDING_MASK | (FLAG_IV_INO_LBLK_64 if context.version == 2 else 0)
        if context.flags & ~known:
            raise CryptoError("fscrypt names", f"flags {context.flags:#04x}", "padding, IV_INO_LBLK_64")
        self._padding = 4 << (context.flags & FLAG_PADDING_MASK)
        self._iv = bytes(_AES_BLOCK_BYTES)
        if context.version == 1:
            key = master_key.v1_per_file_key(context.nonce, _CTS_KEY_BYTES)
        elif master_key.identifier != context.key_reference:
            raise CryptoError(
                "fscrypt names",
                f"ENOKEY: master key {master_key.identifier.hex()}",
                f"key {context.key_reference.hex()}",
            )
        elif context.flags & FLAG_IV_INO_LBLK_64:
            if filesystem_uuid is None or len(filesystem_uuid) != UUID_BYTES or not inode_number:
                raise CryptoError("fscrypt names", "IV_INO_LBLK_64 without inode number and UUID", "both")
            key = master_key.iv_ino_lblk_64_key(filesystem_uuid, MODE_AES_256_CTS, _CTS_KEY_BYTES)
            self._iv = (inode_number << 32).to_bytes(8, "little").ljust(_AES_BLOCK_BYTES, b"\0")
        else:
            key = master_key.per_file_key(context.nonce, _CTS_KEY_BYTES)
        self._aes = algorithms.AES(key)

    def __repr__(self) -> str:
        return f"NamesCipher(padding={self._padding}, <key hidden>)"

    def encrypt(self, name: bytes) -> bytes:
        """Return a name as it lies in the directory; CryptoError for none of 1 to 255 bytes without NUL."""
        if not 1 <= len(name) <= MAX_NAME_BYTES or b"\0" in name:
            raise CryptoError("fscrypt names", f"a name of {len(name)} bytes", "1 .. 255 bytes, no NUL")
        padded = max(_AES_BLOCK_BYTES, -(-len(name) // self._padding) * self._padding)
        return cts_encrypt(self._aes, self._iv, name.ljust(min(padded, MAX_NAME_BYTES), b"\0"))

    def decrypt(self, stored: bytes) -> bytes:
        """
        Return a name from the directory.

        Raises CryptoError if it is too short, or its plaintext is no name. AES-CTS has no check of its own:
        with a wrong key, which only a v1 context lets through, noise may come out that could be a name.
        """
        if not _AES_BLOCK_BYTES <= len(stored) <= MAX_NAME_BYTES:
            raise CryptoError("fscrypt names", f"a stored name of {len(stored)} bytes", "16 .. 255 bytes")
        name = cts_decrypt(self._aes, self._iv, stored).rstrip(b"\0")
        if not name or b"\0" in name or b"/" in name or self.encrypt(name) != stored:
            raise CryptoError("fscrypt names", "a stored name decrypts to none", "the directory's key")
        return name

    def decrypt_target(self, stored: bytes) -> bytes:
        """
        Return the target of a symlink, of which this is the cipher: padded and encrypted like a name.

        Raises CryptoError if it is too short, or its plaintext is no path.
        """
        if len(stored) < _AES_BLOCK_BYTES:
            raise CryptoError("fscrypt names", f"a stored target of {len(stored)} bytes", "16 and more")
        target = cts_decrypt(self._aes, self._iv, stored).rstrip(b"\0")
        if not target or b"\0" in target:
            raise CryptoError("fscrypt names", "a stored target decrypts to no path", "the symlink's key")
        return target


def cts_encrypt(aes: algorithms.AES, iv: bytes, data: bytes) -> bytes:
    """Return AES-CBC-CS3 of 16 or more bytes: cts(cbc(aes)) of the kernel."""
    tail = len(data) % _AES_BLOCK_BYTES or _AES_BLOCK_BYTES
    whole = data + bytes(-len(data) % _AES_BLOCK_BYTES)
    cipher = Cipher(aes, modes.CBC(iv)).encryptor().update(whole)
    if len(data) == _AES_BLOCK_BYTES:
        return cipher
    return cipher[:-32] + cipher[-16:] + cipher[-32:-16][:tail]


def cts_decrypt(aes: algorithms.AES, iv: bytes, data: bytes) -> bytes:
    """Return the plaintext of `cts_encrypt`."""
    if len(data) == _AES_BLOCK_BYTES:
        return Cipher(aes, modes.CBC(iv)).decryptor().update(data)
    tail = len(data) % _AES_BLOCK_BYTES or _AES_BLOCK_BYTES
    head, swapped, short = data[: -tail - 16], data[-tail - 16 : -tail], data[-tail:]
    # What was stolen from the last but one block shows when the last is decrypted on its own.
    last = Cipher(aes, modes.ECB()).decryptor().update(swapped)
    whole = head + short + last[tail:] + swapped
    return Cipher(aes, modes.CBC(iv)).decryptor().update(whole)[: len(data)]
