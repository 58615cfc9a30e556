"""
The bytes of a device: read-only views of a mapped image file, or of memory, and a sparse writer.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

from sim.errors import ImageError
from sim.files import file_beside, flush_directory, umask
from sim.text import reason


class ByteStore(Protocol):
    """What a device model and the image reader need of the bytes below them."""

    @property
    def size_bytes(self) -> int:
        """The number of bytes the store holds."""
        ...

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return `length` bytes from byte `offset`; raise ImageError if they are not all there."""
        ...


class MemoryStore:
    """A store over a bytes-like object, for tests and for small devices."""

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "memory") -> None:
        self._view = memoryview(data).toreadonly().cast("B")
        self._name = name

    @property
    def size_bytes(self) -> int:
        """The number of bytes the store holds."""
        return len(self._view)

    def view(self, offset: int, length: int) -> memoryview:
        """Return a zero-copy view of `length` bytes from byte `offset`, or raise ImageError."""
        if offset < 0 or length < 0 or offset + length > len(self._view):
            raise ImageError(
                self._name,
                f"bytes {offset} to {offset + length} are asked for",
                f"0 to {len(self._view)}",
            )
        return self._view[offset : offset + length]

    def read(self, offset: int, length: int) -> memoryview:
        """Return the same as `view`."""
        return self.view(offset, length)


class FileIdentity(NamedTuple):
    """By what a file is known to be the one that was read, and unchanged; the time in ns since 1970."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


def identity(said: os.stat_result) -> FileIdentity:
    """Return by what a file is known."""
    return FileIdentity(said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns)


class MmapStore(MemoryStore):
    """
    A store over a read-only mapping of a file; `identity` is the file's as it was when it was mapped.

    The mapping lives as long as the store or any view of it. Who shortens the file below a living
    mapping gets SIGBUS from the operating system; no image in use may be rewritten in place, which is
    why make_image() writes aside and renames.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a FIFO would wait for a writer
                raise ImageError(os.fspath(path), "cannot be read (no regular file)", "a readable image file")
            with Path(path).open("rb") as file:
                said = os.fstat(file.fileno())
                mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise ImageError(
                os.fspath(path), f"cannot be read ({reason(error)})", "a readable image file"
            ) from error
        self.identity = identity(said)
        super().__init__(memoryview(mapping), os.fspath(path))


class SparseWriter:
    """
    A file of a given size that starts as one hole and is written at any offset.

    Use it as a context manager: the file appears under its name only when the block ends without an
    error; what was there before stays until then, and until the new file is on the disk. Until then it has a
    name that no other writer uses.
    """

    def __init__(self, path: str | os.PathLike[str], size_bytes: int) -> None:
        self._path = Path(path)
        self._partial = self._path
        self._size_bytes = size_bytes
        self._fd = -1

    def __enter__(self) -> SparseWriter:
        try:
            self._fd, self._partial = file_beside(self._path)
            os.fchmod(self._fd, 0o666 & ~umask())
            os.ftruncate(self._fd, self._size_bytes)
        except OSError as error:
            if self._fd >= 0:
                os.close(self._fd)
                self._partial.unlink(missing_ok=True)
            raise ImageError(os.fspath(self._path), f"cannot be written ({reason(error)})") from error
        return self

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` at byte `offset`; raise ImageError if the disk is full."""
        try:
            while len(data):
                done = os.pwrite(self._fd, data, offset)
                data, offset = data[done:], offset + done
        except OSError as error:
            raise ImageError(os.fspath(self._path), f"cannot be written ({reason(error)})") from error

    @property
    def size_bytes(self) -> int:
        """The number of bytes of the file (ByteStore)."""
        return self._size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return what lies at byte `offset` by now (ByteStore)."""
        return os.pread(self._fd, length, offset)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                replaces = self._path.exists()
                if replaces:
                    os.fsync(self._fd)
                self._partial.replace(self._path)
                if replaces:
                    flush_directory(self._path.parent)
        except OSError as error:
            raise ImageError(os.fspath(self._path), f"cannot be written ({reason(error)})") from error
        finally:
            os.close(self._fd)
            self._partial.unlink(missing_ok=True)
