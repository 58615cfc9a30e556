"""
fs-verity's Merkle tree as blocks of a file: which pages behind the data hold the hashes of which blocks.

SHA-256, without salt: 32 bytes a hash. The tree lies in the file's own page cache, from the first multiple of
64 KiB behind its end on: the root's block first, the leaves last (fs/verity/measure.c, fs/ext4/verity.c).
Left out: the descriptor behind it, what a hash is.
"""

from __future__ import annotations

from typing import Any, Final

from sim.units import KIB, PAGE_BYTES

HASH_BYTES: Final = 32
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

    def page_of(self, tree_block: int) -> int:
        """Return the page of the file that a block of the tree lies in."""
        return self.first_page + tree_block // self._per_page


class VerityState:
    """
    What is known of a file's tree: `file`, the tree's pages as an open file of their own, which blocks of it
    are verified, and what waits for pages of it.
    """

    __slots__ = ("file", "tree", "verified", "waiting")

    def __init__(self, tree: MerkleTree, file: Any) -> None:
        self.tree = tree
        self.file = file
        self.verified: set[int] = set()
        self.waiting: list[Any] = []

    def verify(self, block: int) -> int:
        """
        verify_data_block(): verify a block of data, and the blocks above it that nobody did before; return
        how many pages of the tree were looked at.
        """
        looked = 0
        fresh = []
        for tree_block in self.tree.path(block):
            looked += 1
            if tree_block in self.verified:
                break
            fresh.append(tree_block)
        self.verified.update(fresh)
        return looked
