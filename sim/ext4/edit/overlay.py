"""
An image being changed: what was written lies in memory, over a store that stays as it is, until it is
committed.
"""

from __future__ import annotations

import os
from pathlib import Path

from sim.errors import ImageError
from sim.ext4.store import ByteStore

_PAGE_BYTES = 4096
_COPY_BYTES = 1 << 20


class OverlayStore:
    """
    A store of which some pages have been written: it reads as if they had been written below.

    Memory: the pages written.
    """

    def __init__(self, below: ByteStore) -> None:
        self._below = below
        self._pages: dict[int, bytearray] = {}

    @property
    def size_bytes(self) -> int:
        """The number of bytes the store holds."""
        return self._below.size_bytes

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return `length` bytes from byte `offset`; raise ImageError if they are not all there."""
        data = self._below.read(offset, length)
        first, last = offset // _PAGE_BYTES, (offset + length - 1) // _PAGE_BYTES
        touched = [page for page in range(first, last + 1) if page in self._pages]
        if not touched:
            return data
        merged = bytearray(data)
        for page in touched:
            start, stop = max(offset, page * _PAGE_BYTES), min(offset + length, (page + 1) * _PAGE_BYTES)
            at = page * _PAGE_BYTES
            merged[start - offset : stop - offset] = self._pages[page][start - at : stop - at]
        return bytes(merged)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write over the store; raise ImageError beyond its end."""
        if offset < 0 or offset + len(data) > self.size_bytes:
            raise ImageError("image", f"bytes {offset} to {offset + len(data)}", f"0 to {self.size_bytes}")
        done = 0
        while done < len(data):
            page, inside = divmod(offset + done, _PAGE_BYTES)
            count = min(_PAGE_BYTES - inside, len(data) - done)
            held = self._pages.get(page)
            if held is None:
                start = page * _PAGE_BYTES
                held = bytearray(self._below.read(start, min(_PAGE_BYTES, self.size_bytes - start)))
                self._pages[page] = held
            held[inside : inside + count] = data[done : done + count]
            done += count

    def changes(self) -> list[tuple[int, bytes]]:
        """Return (byte offset, bytes) of every page that is not as it was, in order."""
        return [
            (page * _PAGE_BYTES, bytes(held))
            for page, held in sorted(self._pages.items())
            if bytes(held) != self._below.read(page * _PAGE_BYTES, len(held))
        ]


def commit_aside(path: Path, changes: list[tuple[int, bytes]]) -> None:
    """
    Write a changed copy of an image, sparse as it was, and put it in the image's place by one rename.

    Whoever opens the path sees the old image or the new one, whole. The old one's bytes stay on the host's
    disk until they are overwritten: a key that is to vanish needs `commit_in_place`. Raises ImageError.
    """
    aside = path.with_name(path.name + ".partial")
    try:
        with path.open("rb") as source, aside.open("wb") as target:
            os.fchmod(target.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
            _copy_sparse(source.fileno(), target.fileno())
            _write_all(target.fileno(), changes)
            os.fsync(target.fileno())
        aside.replace(path)
    except OSError as error:
        raise ImageError(str(path), f"cannot be changed ({error})") from error
    finally:
        aside.unlink(missing_ok=True)


def commit_in_place(path: Path, changes: list[tuple[int, bytes]]) -> None:
    """
    Write changes into an image itself, so that what was there is overwritten, and wait for the disk.

    A crash in the middle leaves some pages old and some new, which `e2fsck` then mends. Raises ImageError.
    """
    try:
        with path.open("r+b") as target:
            _write_all(target.fileno(), changes)
            os.fsync(target.fileno())
    except OSError as error:
        raise ImageError(str(path), f"cannot be changed ({error})") from error


def _write_all(fd: int, changes: list[tuple[int, bytes]]) -> None:
    for offset, data in changes:
        view = memoryview(data)
        while view:
            done = os.pwrite(fd, view, offset)
            view, offset = view[done:], offset + done


def _copy_sparse(source: int, target: int) -> None:
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        at = os.lseek(source, start, os.SEEK_HOLE)
        while start < at:
            data = os.pread(source, min(_COPY_BYTES, at - start), start)
            if not data:
                raise OSError("the image became shorter while it was copied")
            _write_all(target, [(start, data)])
            start += len(data)
