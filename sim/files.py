"""
Files of ours: directories that appear whole, and the digest of our own code.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from sim.errors import ConfigError


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
        new.chmod(0o777 & ~_umask())
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


def _remove_abandoned(target: Path) -> None:
    """Remove directories written aside for `target` by processes that are no more."""
    ours = re.compile(re.escape(f".{target.name}.") + "[a-z0-9_]{8}")
    for path in target.parent.iterdir():
        if not ours.fullmatch(path.name) or not path.is_dir():
            continue
        with suppress(OSError):  # locked: its process lives
            lock = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
