"""The bytes of a file that is written: plaintext in pages, what goes to the disk and comes from there."""

from __future__ import annotations

from typing import Any

import pytest

from sim.cache.pages import Mapping
from sim.errors import InvariantError
from sim.ext4.store import MemoryStore
from sim.fs.file_bytes import FileBytes

SIZE = 1024


def flipped(data: Any, first: int) -> bytes:
    """Encrypt as a cipher by block would: each byte with its block's number."""
    return bytes(byte ^ (first + at // SIZE) & 0xFF for at, byte in enumerate(bytes(data)))


def decrypt(raw: memoryview, first: int, plain: memoryview) -> None:
    """Undo it."""
    plain[: len(raw)] = flipped(raw, first)


def test_in_the_clear() -> None:
    """What is put lies in its pages, goes out as it is, and is expected; what comes only fills pages."""
    mapping = Mapping(2, True)
    held = FileBytes(mapping, SIZE, MemoryStore(7 * SIZE * b"-" + SIZE * b"x"), bytearray(3000))
    held.put(1020, b"abcdefgh")
    assert held.blocks(0, 2) == bytes(1020) + b"abcdefgh" + bytes(1020)
    assert held.expected == bytes(1020) + b"abcdefgh" + bytes(1972)
    held.came(1, 7)
    assert held.blocks(0, 2) == bytes(1020) + b"abcd" + SIZE * b"x"
    assert held.expected[1020:1028] == b"abcdefgh"


def test_a_file_grows() -> None:
    """What lies between the end and a write behind it is zeros."""
    held = FileBytes(Mapping(2, True), SIZE, MemoryStore(b""), bytearray(b"abc"))
    held.put(5, b"xy")
    assert held.expected == b"abc\0\0xy"
    held.put(6, b"z")
    assert held.expected == b"abc\0\0xz"


def test_through_a_cipher() -> None:
    """Each block by its own number, out and in; a block that comes leaves its neighbours alone."""
    disk = MemoryStore(SIZE * bytes([ord("d") ^ 4]))
    held = FileBytes(Mapping(2, True), SIZE, disk, bytearray(8192), flipped, decrypt)
    held.put(3 * SIZE, SIZE * b"a" + SIZE * b"b" + SIZE * b"c")
    assert held.blocks(3, 2) == SIZE * bytes([ord("a") ^ 3]) + SIZE * bytes([ord("b") ^ 4])
    held.came(4, 0)
    assert held.blocks(4, 2) == SIZE * bytes([ord("d") ^ 4]) + SIZE * bytes([ord("c") ^ 5])
    assert held.on_disk(bytes(SIZE), 6) == SIZE * b"\6"


def test_without_memory_for_it() -> None:
    """A mapping that keeps no contents is an error of the simulator."""
    held = FileBytes(Mapping(2, False), SIZE, MemoryStore(b""), bytearray(8192))
    with pytest.raises(InvariantError, match="has no contents in memory"):
        held.put(0, b"a")
