"""Images that are made with metadata_csum: e2fsck takes them, and so do all that change them afterwards."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tools import e2fsck, tool

from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.ext4.check.run import check_image
from sim.ext4.format.features import RoCompat
from sim.ext4.make.layout import Fragmented
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.make.table import parse_spec
from sim.ext4.read.reader import Image
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

NOTE, LONG = (1, b"note"), (1, b"long")
FILES = (
    FileSpec("/tree", 1_500_000, Fragmented(1), xattrs={NOTE: b"v" * 700}),
    FileSpec("/deep/in/here", 5000, xattrs={LONG: b"l" * 60_000}),
    *(FileSpec(f"/many/{number:0100d}", 100) for number in range(60)),
)


@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
@pytest.mark.parametrize("journal_blocks", [0, 1024])
def test_e2fsck_takes_it(tmp_path: Path, block_size: int, journal_blocks: int) -> None:
    """Trees, directories of several blocks, xattr blocks, values in inodes, several groups with copies."""
    tool("e2fsck")
    size = 150 << 20
    spec = ImageSpec(FILES, block_size, size, 5, ("/empty",), journal_blocks, metadata_csum=True)
    make_image(tmp_path / "v.img", spec)
    e2fsck(tmp_path / "v.img")
    image = Image.open(tmp_path / "v.img")
    assert [] == list(check_image(image))
    assert image.superblock.has(RoCompat.METADATA_CSUM)
    copy = image.superblock.superblock_block(1)
    words = [tool("debugfs"), "-b", str(block_size), "-s", str(copy), "-R", "stats", str(tmp_path / "v.img")]
    assert b"checksum" not in subprocess.run(words, capture_output=True, check=True).stderr.lower()


def test_each_block_of_a_tree_has_its_checksum(tmp_path: Path) -> None:
    """One byte of a leaf's entries changed: that block is told, and nothing else."""
    path = tmp_path / "v.img"
    make_image(path, ImageSpec(FILES, 1024, seed=5, metadata_csum=True))
    leaf = Image.open(path).lookup("/tree").tree.blocks[2]
    raw = bytearray(path.read_bytes())
    raw[leaf * 1024 + 8] ^= 1  # the generation, which nothing else looks at
    path.write_bytes(raw)
    (problem,) = check_image(Image.open(path))
    assert f"extent block {leaf}: the checksum is wrong" in str(problem)


def test_a_table_says_so() -> None:
    """`readpath image make` takes the same word, and no number."""
    assert parse_spec("t", {"metadata_csum": True}, Path()).metadata_csum
    with pytest.raises(ConfigError, match=r"t: metadata_csum: 1; allowed: a value of type bool"):
        parse_spec("t", {"metadata_csum": 1}, Path())


EXPERIMENT = """\
title = "t"
path = "page_io"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
metadata_csum = true
files = [{ name = "data", size = "1MiB", layout = { kind = "fragmented", extent = "4KiB" } }]
[workload]
job = "fio --name=a --filename=data --rw=read --bs=16k"
"""


@pytest.mark.parametrize(
    "sets",
    [
        ("volume.verity=true",),
        ("encryption.scheme=fscrypt-v2",),
        ("checksums.layout=per_extent", "checksums.extent_blocks=4"),
        ("checksums.layout=table_data",),
        ("volume.files=[{name='data',size='1MiB'},{name='twin',size='1MiB',clone_of='data'}]",),
        ("volume.journal=4MiB", "workload.job.rw=randwrite"),
    ],
)
def test_what_is_put_into_it_keeps_the_checksums(tmp_path: Path, sets: tuple[str, ...]) -> None:
    """Trees of hashes, keys, lists and tables of checksums, clones: e2fsck finds nothing, and it is read."""
    (tmp_path / "e.toml").write_text(EXPERIMENT)
    (cell,) = load_experiment(tmp_path / "e.toml", list(sets)).cells
    path = ensure_image(cell, tmp_path)
    if "clone_of" not in sets[0]:
        tool("e2fsck")
        e2fsck(path)
    assert [] == [str(problem) for problem in check_image(Image.open(path))]
    assert run_cell(cell, path, False).metrics["digest_ok"] in (1, -1)


def test_without_it_the_image_is_the_same(tmp_path: Path) -> None:
    """The feature is asked for or not there: `metadata_csum = false` is in no hash."""
    (tmp_path / "e.toml").write_text(EXPERIMENT)
    (said,) = load_experiment(tmp_path / "e.toml", ["volume.metadata_csum=false"]).cells
    assert "metadata_csum" not in said.config.canonical()["volume"]
