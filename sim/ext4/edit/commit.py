"""
Bringing changes into an image file: into a copy that takes its name, or into the file itself, stage by stage.

Both are done for one image by one writer at a time: sim.files.locked.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sim.errors import ImageError
from sim.ext4.edit.overlay import Changes
from sim.ext4.store import FileIdentity, identity
from sim.files import file_beside, flush_directory

_COPY_BYTES = 1 << 20
_KEPT_XATTRS = ("user.", "system.posix_acl_access")

Runs = Sequence[tuple[int, int]]
"""(first byte, bytes) of ranges of an image."""


def commit_aside(
    path: Path,
    changes: Changes,
    *,
    as_read: FileIdentity,
    without: Runs = (),
    clobber: bool = False,
) -> None:
    """
    Write a changed copy of an image, sparse as it was, and put it in the image's place by one rename.

    Whoever opens the path sees the old image or the new one, whole; a crash leaves one of them. The copy has
    a name of its own until then, and the owner, mode, ACL and xattrs of the old file. as_read: what the
    changes were made from; another file under the name is an error. without: ranges that the copy has zeros
    for. clobber: write the changes into the old file too, once it has no name any more, for what they take
    away; without it, its bytes stay on the host's disk until they are overwritten. Raises ImageError, also
    for a file with a second name (hard link), which would keep the old image.
    """
    with _told(path), path.open("r+b" if clobber else "rb") as source:
        said = os.fstat(source.fileno())
        _must_be(path, said, as_read)
        if said.st_nlink > 1:
            raise ImageError(
                str(path),
                f"has {said.st_nlink} names, the others would keep the old image",
                "a file of one name",
            )
        fd, new = file_beside(path)
        try:
            try:
                _copy_sparse(source.fileno(), fd, without)
                _write_all(fd, _masked(changes, without))
                _copy_attributes(path, said, source.fileno(), fd)
                os.fsync(fd)
            finally:
                os.close(fd)
            _must_be(path, path.stat(), as_read)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        flush_directory(path.parent)
        if clobber:
            _write_all(source.fileno(), changes)
            os.fsync(source.fileno())


def commit_in_place(path: Path, stages: Sequence[Changes], *, as_read: FileIdentity) -> None:
    """
    Write changes into an image itself, so that what was there is overwritten, and wait for the disk.

    Each stage is on the disk before the next begins; within a stage the pages may come in any order. as_read
    and errors: as `commit_aside`.
    """
    with _told(path), path.open("r+b") as target:
        _must_be(path, os.fstat(target.fileno()), as_read)
        for changes in stages:
            _write_all(target.fileno(), changes)
            os.fsync(target.fileno())


def zero_ranges(path: Path, runs: Runs) -> None:
    """Write zeros over ranges of an image, in place, and wait for the disk. Errors as `commit_aside`."""
    zeros = bytes(_COPY_BYTES)
    with _told(path), path.open("r+b") as target:
        for first, length in runs:
            for at in range(first, first + length, _COPY_BYTES):
                _write_all(target.fileno(), [(at, zeros[: min(_COPY_BYTES, first + length - at)])])
        os.fsync(target.fileno())


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Make an ImageError of what the operating system refuses."""
    try:
        yield
    except OSError as error:
        raise ImageError(str(path), f"cannot be changed ({error.strerror or error})") from error


def _must_be(path: Path, said: os.stat_result, as_read: FileIdentity) -> None:
    if identity(said) != as_read:
        raise ImageError(
            str(path),
            "was changed by someone else since it was read; nothing of this was written",
            "the same again, on the image as it is now",
        )


def _copy_attributes(path: Path, said: os.stat_result, source: int, target: int) -> None:
    made = os.fstat(target)
    if (made.st_uid, made.st_gid) != (said.st_uid, said.st_gid):
        try:
            os.fchown(target, said.st_uid, said.st_gid)
        except PermissionError:
            raise ImageError(
                str(path),
                f"belongs to user {said.st_uid}, group {said.st_gid}, which a new file cannot be given",
                "an image of your own, or root",
            ) from None
    os.fchmod(target, said.st_mode & 0o7777)
    with suppress(OSError):  # the host's file system has none
        names = [name for name in os.listxattr(source) if name.startswith(_KEPT_XATTRS)]
        for name in names:
            os.setxattr(target, name, os.getxattr(source, name))


def _write_all(fd: int, changes: Changes) -> None:
    for offset, data in changes:
        view = memoryview(data)
        while view:
            done = os.pwrite(fd, view, offset)
            view, offset = view[done:], offset + done


def _masked(changes: Changes, without: Runs) -> Changes:
    """Return pages with zeros for what of them lies in the ranges of `without`, which are in order."""
    if not without:
        return changes
    masked = [(offset, bytearray(data)) for offset, data in changes]
    starts = [first for first, _length in without]
    for offset, page in masked:
        number = max(bisect_right(starts, offset) - 1, 0)
        while number < len(without) and without[number][0] < offset + len(page):
            first, length = without[number]
            start, stop = max(first, offset), min(first + length, offset + len(page))
            if start < stop:
                page[start - offset : stop - offset] = bytes(stop - start)
            number += 1
    return [(offset, bytes(page)) for offset, page in masked]


def _copy_sparse(source: int, target: int, without: Runs) -> None:
    """Copy what is not a hole; the ranges of `without`, which are in order, stay holes."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    at = 0
    for first, length in [*without, (size, 0)]:
        _copy_range(source, target, at, first)
        at = first + length


def _copy_range(source: int, target: int, at: int, end: int) -> None:
    while at < end:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        at = min(os.lseek(source, start, os.SEEK_HOLE), end)
        while start < at:
            data = os.pread(source, min(_COPY_BYTES, at - start), start)
            if not data:
                raise OSError("the image became shorter while it was copied")
            _write_all(target, [(start, data)])
            start += len(data)
