"""
fs-verity's Merkle tree as blocks of a file: which pages behind the data hold the hashes of which blocks.

SHA-256: 32 bytes a hash. The tree lies in the file's own page cache, from the first multiple of
64 KiB behind its end on: the root's block first, the leaves last (fs/verity/measure.c, fs/ext4/verity.c).
With real data hashes are computed and compared, up to the root that the descriptor names.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

from mypy_extensions import mypyc_attr

from sim.cache.pages import PRESENT, UPTODATE
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.integrity.merkle import HASH_BYTES, hash_block
from sim.units import KIB, PAGE_BYTES

ALIGNED_BYTES: Final = 64 * KIB


class MerkleTree:
    """
    The tree over `size_bytes` of data in blocks of `block_size`, at most a page.

    starts: the first block of each level in the tree, leaves first. first_page: where the tree begins in the
    file; end_page: the page after its last.
    """

    def __init__(self, size_bytes: int, block_size: int) -> None:
        self.block_size = min(block_size, PAGE_BYTES)
        self.arity = self.block_size // HASH_BYTES
        self._per_page = PAGE_BYTES // self.block_size
        counts: list[int] = []
        blocks = -(-size_bytes // self.block_size)
        while blocks > 1:
            blocks = -(-blocks // self.arity)
            counts.append(blocks)
        self.starts = [sum(counts[level + 1 :]) for level in range(len(counts))]
        self.first_page = -(-size_bytes // ALIGNED_BYTES) * (ALIGNED_BYTES // PAGE_BYTES)
        self.end_page = self.first_page - (-sum(counts) // self._per_page)

    def page_ranges(self, first: int, pages: int) -> list[tuple[int, int]]:
        """Return the pages [start, end) of the file that each level needs for these of data, leaves first."""
        low, high = first * self._per_page, (first + pages) * self._per_page - 1
        ranges = []
        for start in self.starts:
            low, high = low // self.arity, high // self.arity
            begin, end = (start + low) // self._per_page, (start + high) // self._per_page
            ranges.append((self.first_page + begin, self.first_page + end + 1))
        return ranges

    def path(self, block: int) -> list[int]:
        """Return the blocks of the tree on the way from a block of data to the root."""
        found = []
        for start in self.starts:
            block //= self.arity
            found.append(start + block)
        return found

    def lblk(self, tree_block: int) -> int:
        """Return the block of the file that a block of the tree is."""
        return self.first_page * self._per_page + tree_block

    def page_of(self, tree_block: int) -> int:
        """Return the page of the file that a block of the tree lies in."""
        return self.first_page + tree_block // self._per_page


class Verified(NamedTuple):
    """
    What verifying a block came to. looked, hashed: blocks of the tree looked at; blocks hashed, the block of
    data among them. bad: the block of the file, of data or of the tree, that has not the hash it should; -1.
    """

    looked: int
    hashed: int
    bad: int


@mypyc_attr(allow_interpreted_subclasses=True)
class TreeReader:
    """What a worker that verifies reads pages of a tree by (6.1). clock: the machine's."""

    clock: Clock

    def page(self, task: Task, state: VerityState, page: int, ahead: int) -> Generator[Any, Any, bool]:
        """Have page `page` of the tree's file up to date, `ahead` pages with it; return whether it came."""
        raise NotImplementedError


class VerityState:
    """
    What is known of a file's tree: `file`, the tree's pages as an open file of their own, which blocks of it
    are verified, and what waits for pages of it.

    root, salt: of the descriptor; no root: nothing is hashed, all is taken as right (data = "off"). stored:
    returns a block of the file as the device has it, for what readahead did not bring. reader: see there.
    """

    __slots__ = ("file", "reader", "root", "salt", "stored", "tree", "verified", "waiting")

    def __init__(
        self,
        tree: MerkleTree,
        file: Any,
        root: bytes = b"",
        salt: bytes = b"",
        stored: Callable[[int], bytes] | None = None,
        reader: TreeReader | None = None,
    ) -> None:
        self.tree = tree
        self.file = file
        self.root = root
        self.salt = salt
        self.stored = stored
        self.reader = reader
        self.verified: set[int] = set()
        self.waiting: list[Any] = []

    def path(self, block: int) -> list[int]:
        """Return the blocks of the tree that verifying a block of data looks at: up to one that is known."""
        looked = []
        for tree_block in self.tree.path(block):
            looked.append(tree_block)
            if tree_block in self.verified:
                break
        return looked

    def verify(self, block: int, content: memoryview | None = None) -> Verified:
        """
        Verify a block of data, and before it the blocks above it that nobody did before, from the top down.

        content: of the file. A block of the tree that is bad is not known as verified, nor is what lies below
        it (verify_page() of 6.1, verify_data_block() of 7.3).
        """
        looked = self.path(block)
        fresh = [tree_block for tree_block in looked if tree_block not in self.verified]
        known = looked[-1] if len(fresh) < len(looked) else -1
        if not self.root or content is None:
            self.verified.update(fresh)
            return Verified(len(looked), len(fresh) + 1, -1)
        path = self.tree.path(block)
        wanted = self.root if known < 0 else self._hash_in(known, path, block)
        hashed = 0
        for tree_block in reversed(fresh):
            hashed += 1
            failed = self.file.mapping.state[self.tree.page_of(tree_block)] & PRESENT
            if failed or hash_block(self._bytes(tree_block), self.salt) != wanted:
                return Verified(len(looked), hashed, self.tree.lblk(tree_block))
            self.verified.add(tree_block)
            wanted = self._hash_in(tree_block, path, block)
        size = self.tree.block_size
        good = hash_block(bytes(content[block * size : (block + 1) * size]), self.salt) == wanted
        return Verified(len(looked), hashed + 1, -1 if good else block)

    def _hash_in(self, tree_block: int, path: list[int], block: int) -> bytes:
        """Return the hash that a block of the tree has of what lies below it, on the way to `block`."""
        level = path.index(tree_block)
        entry = block // self.tree.arity**level % self.tree.arity * HASH_BYTES
        return self._bytes(tree_block)[entry : entry + HASH_BYTES]

    def _bytes(self, tree_block: int) -> bytes:
        """Return a block of the tree: from its page, or from the device if it is not up to date."""
        mapping, lblk = self.file.mapping, self.tree.lblk(tree_block)
        if self.stored is not None and not mapping.state[self.tree.page_of(tree_block)] & UPTODATE:
            return self.stored(lblk)
        size = self.tree.block_size
        return bytes(mapping.content[lblk * size : (lblk + 1) * size])
