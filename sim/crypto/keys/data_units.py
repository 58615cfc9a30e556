"""
Contents of files under file-keys: AES-256-XTS, or AES-256-GCM with tags kept beside the data.

A data unit is a block of the file system, its number in the file the tweak or part of the nonce. (The 2014
patches take a page and want blocks of that size: with 4 KiB blocks the bytes are the same.)

GCM keeps a table of one record for each block: 4 bytes of a counter of writes, little endian, and the 16
bytes of the tag. The nonce is the counter and the block's number, so that a nonce never comes twice under a
file's key as long as a writer increases the counter; counter 0 means never written, and such a block reads
as zeros. The table lies in an xattr of the file (index 9, name "t"), above a block's worth in an inode of
its own (ea_inode): 1/205 of the data. The 2014 patches had planned for files beside the data, in a hidden
directory; e2fsck knows nothing of those.

A seal covers what the blocks alone do not: the file's size in bytes, its id (binding.py) and the whole table.
It lies in an xattr of its own (index 9, name "s"): 4 bytes of a counter, 1 here, where new contents have a
new key, and the 16-byte tag of AES-256-GCM over nothing, with the nonce {counter, 2^64 - 1}. So a file that
was cut or grown at any byte, a block put back together with its old record, and a block and its record taken
away are told before a byte is read. What no seal sees is all of it put back as it was once (rollback of the
file). Files whose wrapped keys are bound to nothing have no seal. The kernel knows no such mode; it could not
change a record in an ea_inode value without hashing the whole value again.
"""

from __future__ import annotations

import hashlib
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sim.crypto.ciphers.xts import Buffer, XtsUnits
from sim.crypto.keys.wrapped import MODE_AES_256_GCM, MODE_AES_256_XTS, FileKey
from sim.errors import CryptoError

TAG_BYTES = 16
RECORD_BYTES = 4 + TAG_BYTES
TAGS_NAME = b"t"
SEAL_NAME = b"s"
_SEAL_BLOCK = (1 << 64) - 1
_NONCE = struct.Struct("<IQ")
_MAX_COUNTER = (1 << 32) - 1
_UNWRITTEN = bytes(RECORD_BYTES)


class XtsContents:
    """The blocks of a file under AES-256-XTS: confidential, not protected against change."""

    __slots__ = ("_xts", "block_bytes")

    def __init__(self, key: FileKey, block_bytes: int) -> None:
        """Raise CryptoError if the key is for another mode."""
        if key.mode != MODE_AES_256_XTS:
            raise CryptoError(
                "file contents", f"a key of mode {key.mode}", f"{MODE_AES_256_XTS} (AES-256-XTS)"
            )
        self._xts = XtsUnits(key.raw)
        self.block_bytes = block_bytes

    def decrypt_blocks(self, data: Buffer, first_logical_block: int) -> bytes:
        """Return the plaintext of consecutive blocks; CryptoError if `data` is not whole blocks."""
        return self._xts.decrypt(data, first_logical_block, self.block_bytes)

    def decrypt_blocks_into(self, data: Buffer, first_logical_block: int, out: memoryview) -> None:
        """Decrypt consecutive blocks into `out`, which is `cipher.OUT_SLACK_BYTES` longer than `data`."""
        self._xts.decrypt_into(data, first_logical_block, self.block_bytes, out)

    def encrypt_blocks(self, data: Buffer, first_logical_block: int) -> bytes:
        """Return the ciphertext of consecutive blocks; the inverse of `decrypt_blocks`."""
        return self._xts.encrypt(data, first_logical_block, self.block_bytes)


class GcmContents:
    """
    The blocks of a file under AES-256-GCM, and their table of tags.

    table: RECORD_BYTES for each block of the file, all zero for a new one; changed by `encrypt_blocks`.
    """

    __slots__ = ("_gcm", "block_bytes", "table")

    def __init__(self, key: FileKey, block_bytes: int, table: bytes | bytearray) -> None:
        """Raise CryptoError if the key is for another mode, or the table is not whole records."""
        if key.mode != MODE_AES_256_GCM:
            raise CryptoError(
                "file contents", f"a key of mode {key.mode}", f"{MODE_AES_256_GCM} (AES-256-GCM)"
            )
        if len(table) % RECORD_BYTES:
            raise CryptoError(
                "file contents", f"a tag table of {len(table)} bytes", f"{RECORD_BYTES} for each block"
            )
        self._gcm = AESGCM(key.raw)
        self.block_bytes = block_bytes
        self.table = bytearray(table)

    def decrypt_blocks(self, data: Buffer, first_logical_block: int) -> bytes:
        """
        Return the plaintext of consecutive blocks; zeros for blocks that were never written.

        Raises CryptoError, and returns nothing, if one block or its record is not what was written.
        """
        parts = []
        view = memoryview(data)
        for index in range(self._count(data)):
            block = first_logical_block + index
            record = self._record(block)
            stored = view[index * self.block_bytes : (index + 1) * self.block_bytes]
            if record == _UNWRITTEN:
                if any(stored):
                    raise CryptoError("file contents", f"EIO: block {block} is there and has no tag")
                parts.append(bytes(self.block_bytes))
            else:
                parts.append(self._open(block, int.from_bytes(record[:4], "little"), stored, record[4:]))
        return b"".join(parts)

    def _open(self, block: int, counter: int, stored: Buffer, tag: bytes) -> bytes:
        try:
            return self._gcm.decrypt(_NONCE.pack(counter, block), b"".join((stored, tag)), None)
        except InvalidTag:
            raise CryptoError("file contents", f"EIO: block {block} fails its AES-256-GCM check") from None

    def decrypt_blocks_into(self, data: Buffer, first_logical_block: int, out: memoryview) -> None:
        """
        Decrypt consecutive blocks into `out`, as long as `data` or longer; nothing is written on an error.
        """
        out[: len(data)] = self.decrypt_blocks(data, first_logical_block)

    def encrypt_blocks(self, data: Buffer, first_logical_block: int) -> bytes:
        """Return the ciphertext of consecutive blocks and put counters and tags into the table."""
        parts = []
        view = memoryview(data)
        for index in range(self._count(data)):
            block = first_logical_block + index
            counter = int.from_bytes(self._record(block)[:4], "little") + 1
            if counter > _MAX_COUNTER:
                raise CryptoError("file contents", f"block {block} was written 2^32 - 1 times", "a new key")
            plain = view[index * self.block_bytes : (index + 1) * self.block_bytes]
            sealed = self._gcm.encrypt(_NONCE.pack(counter, block), plain, None)
            at = block * RECORD_BYTES
            self.table[at : at + RECORD_BYTES] = counter.to_bytes(4, "little") + sealed[-TAG_BYTES:]
            parts.append(sealed[:-TAG_BYTES])
        return b"".join(parts)

    def seal(self, size_bytes: int, file_id: bytes) -> bytes:
        """Return the seal of a file of this size and id with the table as it is, once for a key."""
        said = self._sealed(size_bytes, file_id)
        return b"\1\0\0\0" + self._gcm.encrypt(_NONCE.pack(1, _SEAL_BLOCK), b"", said)

    def check_seal(self, seal: bytes, size_bytes: int, file_id: bytes) -> bool:
        """Return whether a seal is that of a file of this size and id, with the table as it is."""
        if len(seal) != RECORD_BYTES:
            return False
        nonce = _NONCE.pack(int.from_bytes(seal[:4], "little"), _SEAL_BLOCK)
        try:
            self._gcm.decrypt(nonce, seal[4:], self._sealed(size_bytes, file_id))
        except InvalidTag:
            return False
        return True

    def _sealed(self, size_bytes: int, file_id: bytes) -> bytes:
        table = hashlib.sha512(self.table).digest()
        return b"readpath seal\0" + file_id + size_bytes.to_bytes(8, "little") + table

    def is_written(self, block: int) -> bool:
        """Return whether the table has a tag for a block."""
        return self._record(block) != _UNWRITTEN

    def _count(self, data: Buffer) -> int:
        count, rest = divmod(len(data), self.block_bytes)
        if rest:
            raise CryptoError("file contents", f"{len(data)} bytes", f"whole blocks of {self.block_bytes}")
        return count

    def _record(self, block: int) -> bytes:
        if not 0 <= block < len(self.table) // RECORD_BYTES:
            raise CryptoError(
                "file contents", f"block {block} has no tag", f"0 .. {len(self.table) // RECORD_BYTES - 1}"
            )
        return bytes(self.table[block * RECORD_BYTES : (block + 1) * RECORD_BYTES])


Contents = XtsContents | GcmContents


def contents_cipher(key: FileKey, block_bytes: int, table: bytes | bytearray = b"") -> Contents:
    """Return the cipher of a file's contents; table: its tags in GCM. CryptoError for an unknown mode."""
    if key.mode == MODE_AES_256_GCM:
        return GcmContents(key, block_bytes, table)
    return XtsContents(key, block_bytes)
