"""
Files of ours: files and directories that appear whole, one writer at a time, and the digest of our own code.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from sim.errors import ConfigError

_NEW_SUFFIX = ".new"
_NAME_LETTERS = 50
"""So many letters of a file's name are in that of a new one beside it: 255 bytes are the most a name has."""


def find_program(name: str) -> str | None:
    """Return the path of a program, one for administrators too; None where it is not installed."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def code_digest(*packages: str, without: tuple[str, ...] = ()) -> str:
    """
    Return SHA-256 (hex) over the names and contents of all .py and .toml files of packages of ours.

    without: folders and files at the top of a package that are left out.
    """
    summary = hashlib.sha256()
    for package in packages:
        root = Path(str(resources.files(package)))
        for file in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
            if file.suffix in (".py", ".toml") and file.relative_to(root).parts[0] not in without:
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                summary.update(f"{package}/{file.relative_to(root).as_posix()}\0{content}\n".encode())
    return summary.hexdigest()


_WHOLE_BYTES = 1 << 30
"""A larger file is hashed without its zeros: a sparse one of terabytes would take hours."""
_PIECE_BYTES = 1 << 20


def content_digest(path: Path) -> str:
    """
    Return SHA-256 (hex) of a regular file's content; of one of more than 1 GiB, over what is not zero in it.

    That is its size, and the place and bytes of every piece of 1 MiB that is not all zeros, whether its file
    system keeps the zeros as a hole or not. Raises OSError, ValueError for what is no name of a file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for a writer
    with os.fdopen(fd, "rb", buffering=0) as file:
        said = os.fstat(fd)
        if not stat.S_ISREG(said.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if said.st_size <= _WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        summary = hashlib.sha256(f"{said.st_size}\n".encode())
        for offset in _pieces(fd, said.st_size):
            piece = os.pread(fd, _PIECE_BYTES, offset)
            if piece.strip(b"\0"):
                summary.update(f"{offset}\n".encode() + piece)
        return summary.hexdigest()


def _pieces(fd: int, size_bytes: int) -> Iterator[int]:
    """Yield the offsets of the pieces that are not wholly within a hole."""
    offset = 0
    while offset < size_bytes:
        try:
            data = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            data = offset  # a file system that knows no holes
        offset = data // _PIECE_BYTES * _PIECE_BYTES
        yield offset
        offset += _PIECE_BYTES


def shipped_profiles(kind: str) -> list[str]:
    """Return the names of the profiles of a kind ("machines", "devices") that come with readpath, sorted."""
    folder = resources.files("sim") / "profiles" / kind
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


@contextmanager
def directory_beside(target: Path, instead: str) -> Iterator[Path]:
    """
    Yield a new directory beside `target`, hidden, and remove it if it is still there when the block ends.

    What a killed process left is removed by the next for the same `target`: the lock on it is gone.
    Raises ConfigError, which allows `instead`, if there can be none.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        new = Path(tempfile.mkdtemp(prefix=".new.", dir=target.parent))
        new.chmod(0o777 & ~umask())
        lock = os.open(new, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        aside = new.rename(target.with_name(f".{target.name}.{new.name[5:]}"))  # locked from birth
    except OSError as error:
        raise ConfigError(str(target), f"cannot be written ({error.strerror})", instead) from None
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        os.close(lock)


def file_beside(target: Path) -> tuple[int, Path]:
    """
    Return a new empty file beside `target`, open for writing, which no other process uses; mode 0600.

    It is locked until it is closed, so that `remove_abandoned_files` knows whether its process lives.
    Raises OSError.
    """
    fd, name = tempfile.mkstemp(_NEW_SUFFIX, _new_prefix(target), target.parent)
    with suppress(OSError):  # a file system without locks: what is abandoned there stays
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd, Path(name)


def remove_abandoned_files(target: Path) -> None:
    """Remove what killed processes left of `file_beside`: files of ours that no one has locked."""
    ours = re.compile(re.escape(_new_prefix(target)) + "[a-z0-9_]{8}" + re.escape(_NEW_SUFFIX))
    with suppress(OSError):  # a folder that cannot be listed
        for path in [path for path in target.parent.iterdir() if ours.fullmatch(path.name)]:
            with suppress(OSError), _unused(path, os.O_NOFOLLOW | os.O_NONBLOCK) as said:
                if stat.S_ISREG(said.st_mode) and said.st_uid == os.geteuid():
                    path.unlink()


@contextmanager
def _unused(path: Path, flags: int = 0) -> Iterator[os.stat_result]:
    """Yield the status of what nobody has locked, locked; OSError if somebody has, or it cannot be opened."""
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield os.fstat(fd)
    finally:
        os.close(fd)


def _new_prefix(target: Path) -> str:
    return f".{target.name[:_NAME_LETTERS]}."


def flush_directory(folder: Path) -> None:
    """Wait until the names in a directory are on the disk, where the host's file system can do that."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EROFS, errno.EBADF):
            raise
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path, waits: Callable[[], None] | None = None) -> Iterator[None]:
    """
    Keep the file at `path` for one writer among those who ask here (flock).

    Whoever comes second waits until the first has ended, and then has the file that is at `path` by then.
    waits: called once, before it waits. Raises OSError, also for what is no regular file.
    """
    told = False
    while True:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO would wait for a writer
            raise OSError(errno.EINVAL, "not a regular file")
        with path.open("r+b", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waits is not None and not told:
                    waits()
                told = True
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return


def _remove_abandoned(target: Path) -> None:
    """Remove directories written aside for `target` by processes that are no more."""
    ours = re.compile(re.escape(f".{target.name}.") + "[a-z0-9_]{8}")
    for path in target.parent.iterdir():
        if not ours.fullmatch(path.name) or not path.is_dir():
            continue
        with suppress(OSError), _unused(path):  # else locked: its process lives
            shutil.rmtree(path, ignore_errors=True)


def umask() -> int:
    """Return the mode bits that new files are not given."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
