"""
One group's free blocks as the buddy system keeps them (struct ext4_buddy, ext4_group_info).

A run of free blocks is a row of chunks, each a power of two long and aligned to its length, each as large as
can be. `maps[0]` says of each block whether it is in use; `maps[order]` says of each aligned stretch of
2^order blocks whether it is *not* a chunk. One byte an entry: finding the next is then bytearray.find.
"""

from __future__ import annotations

from typing import Final, final

from sim.errors import InvariantError

FREE: Final = 0
USED: Final = 1

_UNPACKED: Final = [bytes(byte >> bit & 1 for bit in range(8)) for byte in range(256)]
_PACKED: Final = {entry: byte for byte, entry in enumerate(_UNPACKED)}


def unpack(bitmap: bytes) -> bytearray:
    """Return a bitmap's bits, a byte each, the lowest bit of the first byte first."""
    return bytearray(b"".join([_UNPACKED[byte] for byte in bitmap]))


def pack(bits: bytearray) -> bytes:
    """Return the bitmap of bits that are a byte each."""
    return bytes([_PACKED[bytes(bits[at : at + 8])] for at in range(0, len(bits), 8)])


@final
class Buddy:
    """
    The buddies of a group.

    free, fragments: blocks and runs that are free. first_free: no block before it is. counters: chunks by
    order.
    """

    def __init__(self, bits: bytearray, orders: int, blocks: int) -> None:
        """
        Build from the bits of a bitmap, which it keeps (ext4_mb_generate_buddy).

        blocks: how many a group has; bits beyond are in use for good. orders: one more than the largest.
        """
        self.blocks = blocks
        self.orders = orders
        self.maps: list[bytearray] = [bits]
        self.counters = [0] * orders
        size = len(bits)
        for _ in range(1, orders):
            size //= 2
            self.maps.append(bytearray(b"\1" * size))
        self.free = 0
        self.fragments = 0
        at = bits.find(FREE, 0, blocks)
        self.first_free = at if at >= 0 else blocks
        while at >= 0:
            end = bits.find(USED, at, blocks)
            end = end if end >= 0 else blocks
            self.free += end - at
            self.fragments += 1
            self._divide(at, end)
            at = bits.find(FREE, end, blocks)

    def _divide(self, start: int, end: int) -> None:
        """Enter the chunks of a free run, the largest that fit and are aligned (ext4_mb_mark_free_simple)."""
        while start < end:
            order = min((end - start).bit_length() - 1, self.orders - 1)
            while start & ((1 << order) - 1):
                order -= 1
            self.counters[order] += 1
            if order:
                self.maps[order][start >> order] = FREE
            start += 1 << order

    def order_of(self, block: int) -> int:
        """Return the order of the chunk that a free block is in (mb_find_order_for_block)."""
        if self.maps[0][block ^ 1]:
            return 0
        for order in range(1, self.orders):
            if not self.maps[order][block >> order]:
                return order
        raise InvariantError(f"block {block} of a group is free and in no chunk")

    def find_extent(self, block: int, needed: int) -> int:
        """
        Return how many blocks are free from `block` on, 0 if it is in use (mb_find_extent).

        Goes on chunk by chunk only while fewer than `needed` were found, so the last chunk may bring more.
        """
        bits = self.maps[0]
        if bits[block]:
            return 0
        order = self.order_of(block)
        following = ((block >> order) + 1) << order
        length = following - block
        size = len(bits)
        while length < needed and following < size and not bits[following]:
            order = self.order_of(following)
            length += 1 << order
            following += 1 << order
        return length

    def largest_order(self) -> int:
        """Return the order of the largest chunk, -1 if nothing is free."""
        order = self.orders - 1
        while order >= 0 and not self.counters[order]:
            order -= 1
        return order

    def first_chunk(self, order: int) -> int:
        """Return the first block of the first chunk of an order that has one."""
        if order == 0:
            raise InvariantError("ext4_mb_simple_scan_group looks for orders from 1 on")
        at = self.maps[order].find(FREE)
        if at < 0:
            raise InvariantError(f"{self.counters[order]} chunks of order {order} are counted, none is there")
        return at << order

    def mark_used(self, start: int, length: int) -> None:
        """Take blocks that are all free (mb_mark_used); InvariantError if one is not."""
        bits = self.maps[0]
        end = start + length
        if length <= 0 or end > self.blocks or bits.find(USED, start, end) >= 0:
            raise InvariantError(f"blocks {start} to {end - 1} of a group are not all free")
        self.free -= length
        if self.first_free == start:
            self.first_free = end
        before = start > 0 and not bits[start - 1]
        after = end < len(bits) and not bits[end]
        if before and after:
            self.fragments += 1
        elif not before and not after:
            self.fragments -= 1
        while start < end:
            order = self.order_of(start)
            first = start >> order << order
            last = first + (1 << order)
            self.counters[order] -= 1
            if order:
                self.maps[order][start >> order] = USED
            cut = min(last, end)
            bits[start:cut] = b"\1" * (cut - start)
            if first < start:
                self._divide(first, start)
            if cut < last:
                self._divide(cut, last)
            start = cut

    def mark_free(self, start: int, length: int) -> None:
        """Give back blocks that are all in use (mb_free_blocks); InvariantError if one is not."""
        bits = self.maps[0]
        end = start + length
        if length <= 0 or end > self.blocks or bits.find(FREE, start, end) >= 0:
            raise InvariantError(f"blocks {start} to {end - 1} of a group are not all in use")
        before = start > 0 and not bits[start - 1]
        after = end < len(bits) and not bits[end]
        bits[start:end] = bytes(length)
        self.free += length
        self.first_free = min(self.first_free, start)
        if before and after:
            self.fragments -= 1
        elif not before and not after:
            self.fragments += 1
        while start < end:
            order = min((end - start).bit_length() - 1, self.orders - 1)
            while start & ((1 << order) - 1):
                order -= 1
            self._join(start, order)
            start += 1 << order

    def _join(self, start: int, order: int) -> None:
        """Enter a chunk, joined with its buddy if that is free, and so on (mb_buddy_mark_free)."""
        at = start >> order
        while order < self.orders - 1 and self._is_chunk(at ^ 1, order):
            self.counters[order] -= 1
            if order:
                self.maps[order][at ^ 1] = USED
            at >>= 1
            order += 1
        self.counters[order] += 1
        if order:
            self.maps[order][at] = FREE

    def _is_chunk(self, at: int, order: int) -> bool:
        """Return whether an aligned stretch is a chunk of its own."""
        if order:
            return self.maps[order][at] == FREE
        return self.maps[0][at] == FREE
