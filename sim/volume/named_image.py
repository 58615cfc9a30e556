"""
An ext4 image whose names in fscrypt's directories are decrypted where a key is at hand.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from sim.crypto.fscrypt.contexts import Context, MasterKey
from sim.crypto.fscrypt.names import NamesCipher
from sim.errors import CryptoError
from sim.ext4.read.reader import Image, Inode
from sim.ext4.store import ByteStore, MmapStore


class NamedImage(Image):
    """
    An image read with master keys: names of directories whose key is there are plain, the others as without.

    A name in ciphertext form ("~...") leads to its file all the same.
    """

    def __init__(self, store: ByteStore, name: str, keys: Mapping[bytes, MasterKey]) -> None:
        super().__init__(store, name)
        self._keys = keys
        self._ciphers: dict[int, NamesCipher | None] = {}

    @classmethod
    def open_with_keys(cls, path: Path, keys: Mapping[bytes, MasterKey]) -> Self:
        """Return the image in a file, mapped read-only; keys: as keyfile.read_keys() gives them."""
        return cls(MmapStore(path), str(path), keys)

    def shown(self, directory: Inode, name: bytes) -> str:
        """Return a name of a directory decrypted, or as it is shown without a key."""
        cipher = self._cipher(directory)
        if cipher is None or name in (b".", b".."):
            return super().shown(directory, name)
        try:
            return os.fsdecode(cipher.decrypt(name))
        except CryptoError as error:
            raise CryptoError(directory.place, error.problem, error.allowed) from None

    def _cipher(self, directory: Inode) -> NamesCipher | None:
        """Return the cipher of a directory, None if it is plain or its key is not there."""
        number = directory.number
        if number not in self._ciphers:
            self._ciphers[number] = None
            raw = directory.encryption_context if directory.is_encrypted else None
            context = None if raw is None else Context.parse(raw, directory.place)
            key = None if context is None else self._keys.get(context.key_reference)
            if context is not None and key is not None:
                self._ciphers[number] = NamesCipher(
                    key, context, inode_number=number, filesystem_uuid=self.uuid
                )
        return self._ciphers[number]
