"""
The Merkle tree of fs-verity, byte for byte: blocks of hashes behind a file's last byte, and a descriptor.

    contents   hole to the next 64 KiB   tree, its root block first   descriptor   zeros   4 its bytes

A hash is SHA-256 of a block (after the salt, filled up to the 64 bytes of SHA-256's own blocks); behind the
file's last byte there are zeros. Levels lie root first, each from a block of its own. A file of
one block has no tree: its root hash is that of the block. Sources: Documentation/filesystems/fsverity.rst
and ext4/verity.rst, Linux 6.1; the `fsverity` program is asked by the tests.

Where it lies is ext4's own choice: blocks past the end need no name and no bit of their own; e2fsck lets them
be where the inode has the flag for verity. What cannot be read from the image is who is to be believed about
the root: fs-verity leaves that to a signature, or to who knows the file's digest. Here a key may seal it:
xattr 4 "readpath.seal", a tag of the digest.

Left out: signatures; SHA-512; of encrypted files the kernel hashes the plaintext and encrypts the tree, here
what is stored is hashed and the tree lies in clear.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from sim.errors import ImageError

HASH_BYTES = 32
ALIGN_BYTES = 65536
DESCRIPTOR_BYTES = 256
MOST_LEVELS = 8
_ALGORITHM_SHA256 = 1
_SHA256_BLOCK_BYTES = 64
_SIZE_BYTES = 4
_DESCRIPTOR = struct.Struct("<BBBBIQ64s32s144s")


def hash_block(block: bytes, salt: bytes = b"") -> bytes:
    """Return the hash of a block of data or of the tree."""
    if salt:
        block = salt.ljust(-(-len(salt) // _SHA256_BLOCK_BYTES) * _SHA256_BLOCK_BYTES, b"\0") + block
    return hashlib.sha256(block).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """
    A tree. levels[0]: the hashes of the data blocks, as blocks; the last level has one block.

    root: the hash of that, or of the one data block; zeros for an empty file.
    """

    levels: list[list[bytes]]
    root: bytes

    def encode(self) -> bytes:
        """Return the bytes of the tree as they lie: root block first."""
        return b"".join(block for level in reversed(self.levels) for block in level)

    @property
    def blocks(self) -> int:
        """How many blocks the tree takes."""
        return sum(map(len, self.levels))


def level_blocks(data_blocks: int, block_size: int) -> list[int]:
    """Return how many blocks each level has, from the leaves up; none for a file of one block or less."""
    counts: list[int] = []
    while data_blocks > 1:
        data_blocks = -(-data_blocks // (block_size // HASH_BYTES))
        counts.append(data_blocks)
    return counts


def build_tree(blocks: Iterable[bytes], block_size: int, salt: bytes = b"") -> Tree:
    """Return the tree over data blocks, the last of which is filled up with zeros."""
    hashes = [hash_block(block, salt) for block in blocks]
    if not hashes:
        return Tree([], bytes(HASH_BYTES))
    levels: list[list[bytes]] = []
    room = block_size // HASH_BYTES
    while len(hashes) > 1:
        level = [
            b"".join(hashes[at : at + room]).ljust(block_size, b"\0") for at in range(0, len(hashes), room)
        ]
        levels.append(level)
        hashes = [hash_block(block, salt) for block in level]
    return Tree(levels, hashes[0])


@dataclass(frozen=True, slots=True)
class Descriptor:
    """struct fsverity_descriptor, version 1, SHA-256, without signature."""

    block_size: int
    data_bytes: int
    root: bytes
    salt: bytes = b""

    def encode(self) -> bytes:
        """Return the 256 bytes."""
        log = self.block_size.bit_length() - 1
        return _DESCRIPTOR.pack(
            1, _ALGORITHM_SHA256, log, len(self.salt), 0, self.data_bytes, self.root, self.salt, b""
        )

    @property
    def digest(self) -> bytes:
        """The file's digest, by which fs-verity and `fsverity` know it."""
        return hashlib.sha256(self.encode()).digest()


def parse_descriptor(raw: bytes, place: str) -> Descriptor:
    """Return a descriptor; ImageError, naming `place`, for one of another kind."""
    if len(raw) < DESCRIPTOR_BYTES:
        raise ImageError(place, f"a verity descriptor of {len(raw)} bytes", f"{DESCRIPTOR_BYTES}")
    version, algorithm, log, salt_bytes, signature, size, root, salt, rest = _DESCRIPTOR.unpack_from(raw)
    if (version, algorithm, signature) != (1, _ALGORITHM_SHA256, 0) or salt_bytes > len(salt) or any(rest):
        problem = f"a verity descriptor of version {version}, algorithm {algorithm}, signature {signature}"
        raise ImageError(place, problem, "version 1, SHA-256, no signature")
    if not 10 <= log <= 16:
        raise ImageError(place, f"verity blocks of 2^{log} bytes", "2^10 to 2^16")
    return Descriptor(1 << log, size, root[:HASH_BYTES], salt[:salt_bytes])


@dataclass(frozen=True, slots=True)
class Area:
    """Where a file's tree and descriptor lie: logical blocks of the file."""

    first: int
    tree_blocks: int
    descriptor: int
    end: int


def area_of(size_bytes: int, block_size: int) -> Area:
    """Return where the tree of a file of this size lies (ext4_write_verity_descriptor of 6.1)."""
    first = -(-size_bytes // ALIGN_BYTES) * ALIGN_BYTES // block_size
    tree = sum(level_blocks(-(-size_bytes // block_size), block_size))
    end = first + tree + -(-(DESCRIPTOR_BYTES + _SIZE_BYTES) // block_size)
    return Area(first, tree, first + tree, end)


def encode_area(tree: Tree, descriptor: Descriptor, block_size: int) -> bytes:
    """Return the bytes behind the file: tree, descriptor, zeros, the descriptor's length."""
    said = descriptor.encode()
    room = -(-(len(said) + _SIZE_BYTES) // block_size) * block_size
    size = len(said).to_bytes(_SIZE_BYTES, "little")
    return tree.encode() + said.ljust(room - _SIZE_BYTES, b"\0") + size
