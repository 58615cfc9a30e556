"""Blocks larger than a page: images that e2fsck accepts, read on every path; and where there are none."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

EXPERIMENT = """
title = "t"
[machine]
kernel = "7.3"
[device]
profile = "null_blk"
[volume]
block_size = "{block}"
files = [
    {{ name = "data", size = "2100KiB", layout = {{ kind = "fragmented", extent = "{block}" }} }},
    {{ name = "holes", size = "1MiB", layout = {{ kind = "sparse", data = "{block}", hole = "{block}" }} }},
]
[workload]
job = {{ rw = "{rw}", bs = "20k", size = "1000k", filename = "data:holes" }}
"""
SIZES = ("8KiB", "16KiB", "32KiB", "64KiB")


def cell_of(folder: Path, block: str, rw: str = "read", *sets: str) -> Any:
    """Return the one cell of an experiment on blocks of this size."""
    file = folder / f"{block}.toml"
    file.write_text(EXPERIMENT.format(block=block, rw=rw))
    (cell,) = load_experiment(file, list(sets)).cells
    return cell


@pytest.mark.skipif(shutil.which("e2fsck") is None, reason="e2fsck is not installed")
@pytest.mark.parametrize("block", SIZES)
def test_e2fsck_accepts_the_image(tmp_path: Path, block: str) -> None:
    """It has nothing to complain of in an image of ours in blocks of 8 to 64 KiB."""
    image = ensure_image(cell_of(tmp_path, block), root=tmp_path / "images")
    told = subprocess.run(["e2fsck", "-fn", str(image)], capture_output=True, text=True, check=False)
    assert (0, "") == (told.returncode, "" if told.returncode == 0 else told.stdout)


@pytest.mark.parametrize("block", SIZES)
@pytest.mark.parametrize("path", ["buffer_head", "mpage", "page_io", "iomap", "page_io_pure", "per_block"])
def test_every_path_reads_the_files_bytes(tmp_path: Path, path: str, block: str) -> None:
    """Fragments of a block each, and holes: digests are right, in order, at random, without readahead."""
    image = partial(ensure_image, root=tmp_path / "images")
    for rw, more in (("read", ()), ("randread", ()), ("read", ("device.read_ahead_kb=0",))):
        cell = cell_of(tmp_path, block, rw, f"path={path}", *more)
        assert 1 == run_cell(cell, image(cell), False).metrics["digest_ok"]


def test_a_block_has_a_buffer_head(tmp_path: Path) -> None:
    """2,100 KiB in blocks of 16 KiB through buffer heads: 132 of them, and as many bios."""
    sets = ("path=buffer_head", "workload.job.filename=data", "workload.job.size=2100k")
    cell = cell_of(tmp_path, "16KiB", "read", *sets)
    metrics = run_cell(cell, ensure_image(cell, root=tmp_path / "images"), False).metrics
    assert (132, 132) == (metrics["buffer_heads"], metrics["bios"])


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (
            ["machine.kernel=6.1"],
            "volume.block_size 16KiB with kernel 6.1; allowed: up to 4KiB, or kernel 7.3",
        ),
        (
            ["machine.kernel=6.12"],
            "volume.block_size 16KiB with kernel 6.12; allowed: up to 4KiB, or kernel 7.3",
        ),
        (
            ['encryption={ scheme = "fscrypt-v2" }'],
            "volume.block_size 16KiB with encryption.scheme 'fscrypt-v2'; allowed: none or dm-crypt",
        ),
    ],
)
def test_where_there_are_none_is_told(tmp_path: Path, sets: list[str], told: str) -> None:
    """When the experiment is read: the kernel, or the encryption, has no such blocks."""
    with pytest.raises(ConfigError) as caught:
        cell_of(tmp_path, "16KiB", "read", *sets)
    assert told in str(caught.value)


def test_a_given_image_is_looked_at(tmp_path: Path) -> None:
    """An image of 16 KiB blocks under kernel 6.1: told before anything is read."""
    image = ensure_image(cell_of(tmp_path, "16KiB"), root=tmp_path / "images")
    file = tmp_path / "given.toml"
    text = f'title = "t"\n[device]\nprofile = "null_blk"\n[volume]\nimage = "{image}"\n'
    file.write_text(
        text
        + '[workload]\njob = {{ rw = "read", bs = "20k", filename = "data" }}\n'.replace("{{", "{").replace(
            "}}", "}"
        )
    )
    (cell,) = load_experiment(file, []).cells
    with pytest.raises(
        ConfigError, match=r"volume\.block_size: 16KiB on kernel 6\.1; allowed: up to 4KiB, or kernel 7\.3"
    ):
        run_cell(cell, image, False)
