"""
The bytes of a file that is written: in its cached pages as plaintext, on the disk through its cipher.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.cache.pages import CONTENT_SLACK_BYTES, Mapping
from sim.errors import InvariantError
from sim.ext4.store import ByteStore
from sim.fs.fs_inode import Decrypt

Encrypt = Callable[[Any, int], bytes]
"""Encrypt whole blocks: (plaintext, first logical block) to ciphertext of the same length."""


class FileBytes:
    """
    store: the device's bytes. expected: what a reader must find in the file, of all that was ever written; a
    write copies into it, too. encrypt, decrypt: None for a file in the clear.
    """

    def __init__(
        self,
        mapping: Mapping,
        block_size: int,
        store: ByteStore,
        expected: bytearray,
        encrypt: Encrypt | None = None,
        decrypt: Decrypt | None = None,
    ) -> None:
        self.expected = expected
        self._mapping = mapping
        self._size = block_size
        self._store = store
        self._encrypt = encrypt
        self._decrypt = decrypt

    def put(self, offset: int, data: bytes | memoryview) -> None:
        """Copy what a write(2) brings into the page cache (copy_page_from_iter_atomic())."""
        self._content()[offset : offset + len(data)] = data
        missing = offset + len(data) - len(self.expected)
        if missing > 0:
            self.expected.extend(bytes(missing))
        self.expected[offset : offset + len(data)] = data

    def came(self, lblk: int, physical: int, count: int = 1) -> None:
        """Take in blocks of the file from `lblk` on, which have been read from `physical` on."""
        content, at = self._content(), lblk * self._size
        raw = self._store.read(physical * self._size, count * self._size)
        if self._decrypt is None:
            content[at : at + len(raw)] = raw
        else:
            plain = memoryview(bytearray(len(raw) + CONTENT_SLACK_BYTES))  # what follows may be newer
            self._decrypt(memoryview(raw), lblk, plain)
            content[at : at + len(raw)] = plain[: len(raw)]

    def blocks(self, lblk: int, count: int) -> bytes:
        """Return blocks as they are to lie on the disk."""
        at = lblk * self._size
        return self.on_disk(bytes(self._content()[at : at + count * self._size]), lblk)

    def on_disk(self, plain: bytes, lblk: int) -> bytes:
        """Return plaintext, whole blocks of the file from `lblk` on, as it is to lie on the disk."""
        return plain if self._encrypt is None else self._encrypt(plain, lblk)

    def _content(self) -> memoryview:
        content = self._mapping.content
        if content is None:
            raise InvariantError("a file whose bytes are kept has no contents in memory")
        return content
