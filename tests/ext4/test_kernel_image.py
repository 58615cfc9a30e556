"""
An image that a Linux 6.1 kernel made, with fscrypt files, against what the kernel said about it.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from sim.ext4.check.run import check_image
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore

FOLDER = Path(__file__).parents[1] / "data" / "fscrypt_4k"


@pytest.fixture(scope="module")
def image() -> Image:
    """The image, in memory."""
    return Image(MemoryStore(lzma.decompress((FOLDER / "fscrypt_4k.img.xz").read_bytes())))


def _records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


def _context(record: dict[str, Any]) -> bytes:
    """Return the stored context: the policy the kernel reports (in which v1 is called 0), then the nonce."""
    policy = bytes.fromhex(record["policy"])
    return bytes([policy[0] or 1]) + policy[1:] + bytes.fromhex(record["nonce"])


@pytest.mark.parametrize("name", ["files.jsonl", "dirs.jsonl"])
def test_inodes_are_the_kernels(image: Image, name: str) -> None:
    """Number, size, extents and encryption context of every inode are those the kernel reported."""
    found = {inode.number: inode for _path, inode in image.walk()}
    records = _records(name)
    assert len(records) >= 3
    for record in records:
        inode = found[record["ino"]]
        extents = [[e.logical * 4096, e.physical * 4096, e.length * 4096] for e in inode.tree.extents]
        assert record["size"] == inode.size_bytes
        assert [row[:3] for row in record["extents"]] == extents
        assert _context(record) == inode.encryption_context
        assert inode.is_encrypted


def test_kernel_image_is_sound(image: Image) -> None:
    """check finds nothing in an image that a kernel has written and unmounted."""
    assert check_image(image) == []


def test_ciphertext_names_round_trip(image: Image) -> None:
    """Names in encrypted directories are shown in a form that lookup takes back."""
    paths = [(path, inode.number) for path, inode in image.walk()]
    assert any("~" in path for path, _number in paths)
    assert all(number == image.lookup(path).number for path, number in paths)
