"""
Writing the contents of one file of an image, and the digest of its plaintext.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sim.errors import ConfigError
from sim.ext4.format.extents import Extent
from sim.ext4.make.content import random_contents
from sim.ext4.make.spec import Transform
from sim.ext4.store import SparseWriter

WINDOW_BYTES = 4 << 20

Source = Callable[[int, int], npt.NDArray[np.uint8]]
"""(byte offset, bytes) -> that part of the contents; both multiples of the block size."""


def random_source(seed: int, path: str) -> Source:
    """Return a source of the contents that (seed, path) has when none are given."""
    return lambda offset, length: random_contents(seed, path, offset, length)


def given_source(data: bytes) -> Source:
    """Return a source of given contents, zero behind their end."""
    whole = np.frombuffer(data, dtype=np.uint8)

    def read(offset: int, length: int) -> npt.NDArray[np.uint8]:
        part = np.zeros(length, dtype=np.uint8)
        have = whole[offset : offset + length]
        part[: len(have)] = have
        return part

    return read


def fill_file(
    writer: SparseWriter,
    place: str,
    extents: Sequence[Extent],
    block_size: int,
    size_bytes: int,
    source: Source,
    transform: Transform | None,
    strict: bool,
) -> str:
    """
    Write a file's blocks where its extents are and return the SHA-256 of its plaintext as hex.

    Holes, unwritten blocks and what lies behind the last byte are zeros. transform: encrypts each written
    block. strict: contents that would be lost in a hole are a ConfigError that names `place`.
    """
    digest = hashlib.sha256()
    written = [extent for extent in extents if not extent.unwritten]
    starts = np.array([extent.logical for extent in written], dtype=np.int64)
    ends = starts + np.array([extent.length for extent in written], dtype=np.int64)
    shifts = np.array([extent.physical for extent in written], dtype=np.int64) - starts
    step = WINDOW_BYTES // block_size
    for first in range(0, -(-size_bytes // block_size), step):
        blocks = np.arange(first, min(first + step, -(-size_bytes // block_size)), dtype=np.int64)
        owner = np.searchsorted(starts, blocks, side="right") - 1
        mapped = (owner >= 0) & (blocks < ends[owner]) if len(written) else np.zeros(len(blocks), np.bool_)
        if not mapped.any() and not strict:
            data = np.zeros(len(blocks) * block_size, dtype=np.uint8)
        else:
            data = source(first * block_size, len(blocks) * block_size)
        pages = data.reshape(-1, block_size)
        if strict and pages[~mapped].any():
            lost = first + int(np.flatnonzero(~mapped & pages.any(axis=1))[0])
            raise ConfigError(place, f"the data of block {lost} would lie in a hole", "zeros in holes")
        pages[~mapped] = 0
        left = size_bytes - first * block_size
        data[left:] = 0
        digest.update(data[:left].data)
        if transform is not None:
            _encrypt(place, pages, first, np.flatnonzero(mapped), transform)
        _scatter(writer, pages, blocks, mapped, owner, shifts)
    return digest.hexdigest()


def _encrypt(
    place: str,
    pages: npt.NDArray[np.uint8],
    first: int,
    mapped: npt.NDArray[np.int64],
    transform: Transform,
) -> None:
    size = pages.shape[1]
    for index in mapped.tolist():
        cipher = transform(first + index, pages[index].tobytes())
        if len(cipher) != size:
            raise ConfigError(
                place, f"the transform of block {first + index} gave {len(cipher)} bytes", f"{size}"
            )
        pages[index] = np.frombuffer(cipher, dtype=np.uint8)


def _scatter(
    writer: SparseWriter,
    pages: npt.NDArray[np.uint8],
    blocks: npt.NDArray[np.int64],
    mapped: npt.NDArray[np.bool_],
    owner: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.int64],
) -> None:
    """Write the mapped blocks of a window, adjacent ones in one go."""
    at = np.flatnonzero(mapped)
    if not len(at):
        return
    size = pages.shape[1]
    physical = blocks[at] + shifts[owner[at]]
    cuts = np.flatnonzero((np.diff(at) != 1) | (np.diff(physical) != 1)) + 1
    begins = [0, *cuts.tolist()]
    finishes = [*cuts.tolist(), len(at)]
    view = pages.reshape(-1).data
    for begin, finish in zip(begins, finishes, strict=True):
        low = int(at[begin]) * size
        writer.write(int(physical[begin]) * size, view[low : low + (finish - begin) * size])
