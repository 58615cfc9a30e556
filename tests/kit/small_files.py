"""
Small files on a small disk: drawn at random, their plaintext, and a sink that keeps what was read.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sim.cache.address_space import Sink
from sim.ext4.format.extents import Extent
from sim.units import PAGE_BYTES


@st.composite
def small_files(draw: st.DrawFn) -> tuple[list[Extent], int, int]:
    """Draw (extents, size in bytes, block size) of a file of up to 24 pages."""
    block_size = draw(st.sampled_from((1024, 2048, 4096)))
    blocks = draw(st.integers(1, 24 * PAGE_BYTES // block_size))
    size = blocks * block_size - draw(st.integers(0, block_size - 1))
    extents, logical, physical = [], draw(st.integers(0, 3)), 64
    while logical < blocks:
        length = min(draw(st.integers(1, 20)), blocks - logical)
        physical += draw(st.sampled_from((0, 1, 7)))
        extents.append(Extent(logical, physical, length, draw(st.integers(0, 5)) == 0))
        logical += length + draw(st.sampled_from((0, 0, 1, 4)))
        physical += length
    return extents, size, block_size


class Collector(Sink):
    """A sink that keeps the bytes in order."""

    def __init__(self) -> None:
        self.data = bytearray()

    def take(self, mapping: Any, offset: int, length: int) -> None:
        self.data += mapping.content[offset : offset + length]


def disk() -> bytearray:
    """Return 4 MiB in which every 512 bytes are different."""
    return bytearray(b"".join(i.to_bytes(4, "little") * 128 for i in range(8192)))


DISK = disk()


def plaintext(extents: list[Extent], size: int, block_size: int) -> bytes:
    """Return what a file of `extents` on DISK reads as."""
    data = bytearray(-(-size // block_size) * block_size)
    for logical, physical, length, unwritten in extents:
        if not unwritten:
            start = logical * block_size
            data[start : start + length * block_size] = DISK[
                physical * block_size : (physical + length) * block_size
            ]
    return bytes(data[:size])
