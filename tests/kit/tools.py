"""
e2fsprogs, asked by tests: a program of it, what e2fsck finds, images that mke2fs makes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MKE2FS_KINDS = {
    "default-4k": ("-b", "4096"),
    "no-checksums-1k": ("-b", "1024", "-O", "^metadata_csum,^64bit"),
    "seeded-1k": ("-b", "1024", "-O", "metadata_csum_seed,ea_inode"),
    "small-inodes-2k": ("-b", "2048", "-I", "128"),
}
"""Journal, hash trees, 64 bit and metadata checksums as mke2fs has them by default, and without."""


def found(name: str) -> str | None:
    """Return the path of a program, also of root's folders; None if it is not installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def tool(name: str) -> str:
    """Return the path of a program of e2fsprogs, or skip the test."""
    path = found(name)
    if path is None:
        pytest.skip(f"{name} (e2fsprogs) is not installed")
    return path


def e2fsck(image: Path) -> None:
    """Fail unless e2fsck finds nothing. It has no key."""
    code, said = e2fsck_says(image)
    assert code == 0, said


def e2fsck_says(image: Path) -> tuple[int, str]:
    """Return the exit code of `e2fsck -fn`, 0 for an image that is sound, and what it prints."""
    words = [tool("e2fsck"), "-fn", str(image)]
    done = subprocess.run(words, capture_output=True, check=False, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode("latin-1")


def debugfs(image: Path, *commands: str, write: bool = False) -> bytes:
    """Return what debugfs answers to commands."""
    words = [tool("debugfs"), *(["-w"] if write else []), "-f", "/dev/stdin", str(image)]
    return subprocess.run(words, input="\n".join(commands).encode(), capture_output=True, check=True).stdout


def mke2fs(image: Path, folder: Path, *options: str, size: str = "12M") -> None:
    """Make an image that holds a folder's files, of ext4 unless the options say otherwise."""
    kind = () if "-t" in options else ("-t", "ext4")
    words = [tool("mke2fs"), "-q", "-F", *kind, "-d", str(folder), *options, str(image), size]
    subprocess.run(words, capture_output=True, check=True)


def files_for_mke2fs(folder: Path) -> Path:
    """Make a folder of two files, f of 32 pieces with holes between, 256 KiB, and g of 128 KiB; return it."""
    folder.mkdir()
    with (folder / "f").open("wb") as file:
        for at in range(32):
            file.seek(at * 8192)
            file.write(4096 * bytes([at + 1]))
        file.truncate(256 * 1024)
    (folder / "g").write_bytes(128 * 1024 * b"g")
    return folder
