"""
btrfs' csum items: checksums of 4 KiB in the leaves of a tree of their own, by logical address. To compare.

A leaf has 101 bytes of header, 25 of each item, and items' data from its end. An item has the checksums of
blocks in a row, as many as fit in a leaf beside room for one item more, and at most 4,096 bytes' worth of
them each (MAX_CSUM_ITEMS). Written in one go, a long extent has full items, one a leaf. Source: the on-disk
format in the btrfs documentation, and fs/btrfs/file-item.c, Linux 6.1; held against recorded reads.

Left out: leaves that splits have left half full, and the tree's upper nodes (in memory from the mount on).
"""

from __future__ import annotations

from sim.errors import ConfigError

HEADER_BYTES = 101
ITEM_BYTES = 25
SECTOR_BYTES = 4096
CSUM_BYTES = {"crc32c": 4, "xxh64": 8, "sha256": 32, "blake2b": 32}
_MOST_PER_ITEM = 4096


def csums_per_item(node_bytes: int, algorithm: str) -> int:
    """Return how many checksums one item holds at most; ConfigError for an algorithm that btrfs has not."""
    if algorithm not in CSUM_BYTES:
        raise ConfigError("btrfs csum", repr(algorithm), ", ".join(CSUM_BYTES))
    room = node_bytes - HEADER_BYTES - 2 * ITEM_BYTES
    return min(room // CSUM_BYTES[algorithm] - 1, _MOST_PER_ITEM)


def leaves(size_bytes: int, node_bytes: int, algorithm: str) -> int:
    """Return how many leaves the checksums of so many bytes in a row take."""
    blocks = -(-size_bytes // SECTOR_BYTES)
    return -(-blocks // csums_per_item(node_bytes, algorithm))


def leaf_of(byte: int, node_bytes: int, algorithm: str) -> int:
    """Return the number, among an extent's leaves, of the one with the checksum of a byte."""
    return byte // SECTOR_BYTES // csums_per_item(node_bytes, algorithm)
