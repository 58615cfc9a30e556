"""
What is no damage: whatever features mke2fs gives an image, e2fsck calls it clean and check tells nothing.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mke2fs_bench import made
from tools import debugfs, e2fsck_says, tool

from sim.ext4.check.run import check_store
from sim.ext4.store import MemoryStore, MmapStore

FEATURES = (
    ("-t", "ext2"),
    ("-t", "ext2", "-r", "0"),
    ("-t", "ext3"),
    ("-I", "128"),
    ("-b", "2048"),
    ("-b", "4096"),
    ("-b", "8192"),
    ("-O", "inline_data"),
    ("-O", "bigalloc", "-C", "4096"),
    ("-b", "4096", "-O", "bigalloc", "-C", "65536"),
    ("-O", "meta_bg,^resize_inode"),
    ("-O", "^64bit"),
    ("-O", "^flex_bg"),
    ("-O", "sparse_super2"),
    ("-O", "orphan_file"),
    ("-O", "quota,project"),
    ("-O", "mmp"),
    ("-O", "casefold,encrypt"),
    ("-O", "ea_inode,verity"),
    ("-O", "^extent,^64bit,^huge_file"),
    ("-O", "^has_journal"),
    ("-g", "1024"),
    ("-O", "metadata_csum_seed,large_dir"),
    ("-O", "^metadata_csum,uninit_bg"),
    ("-O", "fast_commit,stable_inodes"),
    ("-b", "4096", "-t", "ext2", "-O", "none"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where images are made."""
    return tmp_path_factory.mktemp("sound")


@pytest.mark.parametrize("options", FEATURES, ids=" ".join)
def test_no_sound_image_is_called_damaged(folder: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Both have nothing to say of it."""
    data = made(folder, options)
    (tmp_path / "image").write_bytes(data)
    found = check_store(MemoryStore(data), "image")
    assert (0, [], []) == (e2fsck_says(tmp_path / "image")[0], found.problems, found.unclean)


ODDITIES = {
    "verity": (("-O", "verity,^metadata_csum"), ("sif /frag size 1024", "sif /frag flags 0x180000")),
    "project": (("-O", "quota,project,^metadata_csum"), ("sif /a projid 7", "sif /d projid 7")),
    "shared value": (("-O", "ea_inode"), ()),
    "a value's flag without the feature": (("-O", "^metadata_csum"), ("sif /a flags 0x280000",)),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_oddities_are_no_damage(folder: Path, tmp_path: Path, name: str) -> None:
    """A file of fs-verity has blocks behind its end, files belong to projects, two share a value, ..."""
    options, changes = ODDITIES[name]
    image = tmp_path / "image"
    image.write_bytes(made(folder, options))
    debugfs(image, *changes, write=True)
    subprocess.run([tool("e2fsck"), "-fy", str(image)], capture_output=True, check=False)  # counts quotas
    assert (0, []) == (e2fsck_says(image)[0], check_store(MmapStore(image), "image").problems)
