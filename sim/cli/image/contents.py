"""
What `readpath image cat` writes: a file's contents, plain or decrypted, holes as holes where that can be.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from sim.cli.image.opening import Around, open_image
from sim.crypto.fscrypt.contexts import ContentsCipher, Context, MasterKey
from sim.crypto.fscrypt.names import NamesCipher
from sim.crypto.keys.file_keys import CONTEXT_VERSION
from sim.crypto.keys.keyfile import read_keys
from sim.errors import CryptoError, ImageError
from sim.ext4.format.inode import TYPE_SYMLINK
from sim.ext4.read.reader import CHUNK_BYTES, Image, Inode

Decrypt = Callable[[int, bytes], bytes]
"""(logical block, ciphertext of one block) -> plaintext."""

MOST_ZEROS_BYTES = 64 << 30
"""
More of holes than this goes only into a file, which stays sparse: a pipe would take minutes for zeros alone
(a core makes about 1 GiB of them a second, and hashes as much).
"""
_LENGTH_BYTES = 2


class Sink:
    """Where contents go: what can be left out of a regular file is a hole in it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._sparse = _takes_holes(out)
        self._zeros = bytes(CHUNK_BYTES)

    def begin(self, image: Image, inode: Inode) -> None:
        """Refuse, before anything is written, more zeros than anybody waits for."""
        if not self._sparse:
            refuse_zeros(image, inode, ", or output to a new file, which stays sparse")

    def write(self, data: bytes | memoryview) -> None:
        """Write contents."""
        self._out.write(data)

    def hole(self, length: int) -> None:
        """Write zeros, or leave them out."""
        if self._sparse:
            self._out.seek(length, io.SEEK_CUR)
            return
        for done in range(0, length, CHUNK_BYTES):
            self._out.write(self._zeros[: min(CHUNK_BYTES, length - done)])

    def end(self) -> None:
        """Give a file that ends in a hole its length."""
        if self._sparse:
            self._out.flush()
            os.ftruncate(self._out.fileno(), self._out.tell())


def refuse_zeros(image: Image, inode: Inode, instead: str = "") -> None:
    """Raise ImageError for a file with more bytes in holes than MOST_ZEROS_BYTES."""
    blocks = sum(length for _logical, length, physical in image.runs(inode) if physical is None)
    if (holes_bytes := blocks * image.block_size) > MOST_ZEROS_BYTES:
        problem = f"{holes_bytes} of {inode.size_bytes} bytes are holes"
        raise ImageError(inode.place, problem, f"at most {MOST_ZEROS_BYTES}{instead}")


def _takes_holes(out: BinaryIO) -> bool:
    """Return whether what is left out reads as zeros: at the end of a regular file, unless appended to."""
    try:
        descriptor = out.fileno()
        said = os.fstat(descriptor)
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        return stat.S_ISREG(said.st_mode) and not appends and out.tell() == said.st_size
    except (OSError, ValueError):
        return False


class _Keys:
    """The master keys of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = read_keys(path)

    def of(self, inode: Inode) -> tuple[Context, MasterKey]:
        """Return an encrypted inode's context and key; CryptoError if there is none."""
        raw = inode.encryption_context
        if raw is None:
            raise CryptoError(inode.place, "has no encryption context")
        if raw[:1] == bytes((CONTEXT_VERSION,)):
            raise CryptoError(inode.place, "has a key of its own, wrapped for users", "--as USER")
        context = Context.parse(raw, inode.place)
        key = self.keys.get(context.key_reference)
        if key is None:
            missing = context.key_reference.hex()
            raise CryptoError(inode.place, f"ENOKEY: its key {missing} is not in {self.path}")
        return context, key


def run_cat(
    image_path: Path, path: str, out: BinaryIO, keys: Path | None = None, around: Around | None = None
) -> None:
    """
    Write a file's contents, or a symlink's target, to `out`.

    keys: master keys; what is encrypted comes as plaintext with them, without as ciphertext, in whole blocks.
    ImageError for what has no contents of its own: a directory, a device.
    """
    ring = None if keys is None else _Keys(keys)
    image = open_image(image_path, around or Around(), ring.keys if ring else None)
    inode = image.lookup(path)
    if not inode.is_regular and inode.type != TYPE_SYMLINK:
        raise ImageError(f"{image.name}: {path}", f"is a {inode.type_word}", "a file or a symlink")
    sink = Sink(out)
    locked = inode.is_encrypted
    if inode.type == TYPE_SYMLINK and locked:
        stored = image.read_file(inode)
        sink.write(_target(image, inode, stored, ring) if ring else stored)
    elif inode.is_short_symlink or inode.is_inline:
        sink.write(image.read_file(inode))
    elif locked and ring:
        _copy(image, inode, inode.size_bytes, _decryptor(image, inode, ring), sink)
    else:
        size = inode.blocks * image.block_size if locked else inode.size_bytes
        _copy(image, inode, size, None, sink)


def _target(image: Image, inode: Inode, stored: bytes, ring: _Keys) -> bytes:
    """Return the target of an encrypted symlink: its length, then so many bytes of ciphertext."""
    context, key = ring.of(inode)
    length = int.from_bytes(stored[:_LENGTH_BYTES], "little")
    if length + _LENGTH_BYTES > len(stored):
        raise ImageError(inode.place, f"a target of {length} bytes", f"at most {len(stored) - _LENGTH_BYTES}")
    cipher = NamesCipher(key, context, inode_number=inode.number, filesystem_uuid=image.uuid)
    try:
        return cipher.decrypt_target(stored[_LENGTH_BYTES : _LENGTH_BYTES + length])
    except CryptoError as error:
        raise CryptoError(inode.place, error.problem, error.allowed) from None


def _decryptor(image: Image, inode: Inode, ring: _Keys) -> Decrypt:
    context, key = ring.of(inode)
    cipher = ContentsCipher(
        key, context, image.block_size, inode_number=inode.number, filesystem_uuid=image.uuid
    )
    return lambda block, data: cipher.decrypt_blocks(data, block)


def _copy(image: Image, inode: Inode, size: int, decrypt: Decrypt | None, sink: Sink) -> None:
    block = image.block_size
    sink.begin(image, inode)
    left = size
    for logical, length, physical in image.runs(inode):
        count = min(length * block, left)
        left -= count
        if physical is None:
            sink.hole(count)
        elif decrypt is None:
            for done in range(0, count, CHUNK_BYTES):
                sink.write(image.store.read(physical * block + done, min(CHUNK_BYTES, count - done)))
        else:
            for index in range(length):
                plain = decrypt(logical + index, bytes(image.read_block(physical + index)))
                sink.write(plain[: min(count - index * block, block)])
    sink.end()


class _Digest(io.RawIOBase):
    """Counts and hashes what is written to it."""

    def __init__(self) -> None:
        self.bytes, self.sha256 = 0, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.bytes += len(data)
        self.sha256.update(data)
        return len(data)


def run_digest(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Print the length and SHA-256 of what `write` writes of the file `path`, as JSON."""
    digest = _Digest()
    write(cast("BinaryIO", digest))
    print(json.dumps({"path": path, "bytes": digest.bytes, "sha256": digest.sha256.hexdigest()}, indent=1))
