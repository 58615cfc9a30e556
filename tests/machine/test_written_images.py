"""
The image behind a run whose jobs write: its log replayed by e2fsck, it is sound to e2fsck, and each file has
what was written. On images made here, and by mke2fs with the features that it has.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from crash_cells import Played, cell_text, played
from tools import MKE2FS_KINDS, files_for_mke2fs, mke2fs
from written_image import check_written

LAYOUTS = {
    "contiguous": '{ kind = "contiguous" }',
    "sparse": '{ kind = "sparse", data = "8KiB", hole = "8KiB" }',
    "unwritten": '{ kind = "unwritten" }',
    "fragmented": '{ kind = "fragmented", extent = "8KiB" }',
}
MOUNTS = {
    "ordered": "",
    "journal": 'data = "journal"',
    "writeback, nodelalloc": 'data = "writeback"\ndelalloc = false',
    "nodelalloc": "delalloc = false",
    "dioread_lock": "dioread_nolock = false",
}
SIZES = {"1KiB": "1MiB", "4KiB": "4MiB"}
SCHEMES = {"none": "", "fscrypt-v2": '[encryption]\nscheme = "fscrypt-v2"'}
JOBS = """
job = [
    { name = "a", filename = "f", rw = "randwrite", bsrange = "512-16k", blockalign = "512", size = "256k", io_size = "192k", fsync = "8", randrepeat = 0 },
    { name = "b", filename = "g", rw = "write", bs = "32k", size = "128k", end_fsync = "1" },
]
"""  # noqa: E501
EVERY = list(product(SIZES, LAYOUTS, MOUNTS, SCHEMES))
SAMPLE = [
    (list(SIZES)[(one + other) % 2], layout, mount, list(SCHEMES)[(one // 2 + other) % 2])
    for (one, layout), (other, mount) in product(enumerate(LAYOUTS), enumerate(MOUNTS))
]
"""One in four, such that every value meets every value of another kind."""


def text_of(size: str, layout: str, mount: str, scheme: str) -> str:
    """Return the experiment of a case."""
    volume = (
        f'block_size = "{size}"\njournal = "{SIZES[size]}"\nfiles = [\n'
        f'{{ name = "f", size = "256KiB", layout = {LAYOUTS[layout]} }},\n'
        '{ name = "g", size = "128KiB" },\n]'
    )
    return cell_text(volume, JOBS, MOUNTS[mount], crash="", more=SCHEMES[scheme])


def check(run: Played, folder: Path) -> None:
    """Files were written, and the image has them."""
    assert run.mounted.files
    check_written(run, folder)


@pytest.mark.parametrize(("size", "layout", "mount", "scheme"), SAMPLE, ids=" ".join)
def test_an_image_made_here(tmp_path: Path, size: str, layout: str, mount: str, scheme: str) -> None:
    """Every block size with every layout, way of mounting and scheme."""
    check(played(text_of(size, layout, mount, scheme), tmp_path), tmp_path)


def test_the_sample_is_one() -> None:
    """Each pair of values of two kinds is in it."""
    for one, other in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        assert {(case[one], case[other]) for case in SAMPLE} == {(case[one], case[other]) for case in EVERY}


@pytest.mark.parametrize("kind", MKE2FS_KINDS)
@pytest.mark.parametrize("mount", ["ordered", "journal"])
def test_an_image_of_mke2fs(tmp_path: Path, kind: str, mount: str) -> None:
    """Checksums of metadata and 64 bit, and without; a file with many holes, whose tree gets nodes."""
    folder = files_for_mke2fs(tmp_path / "files")
    mke2fs(tmp_path / "x.img", folder, *MKE2FS_KINDS[kind], size="16M")
    run = played(cell_text('image = "x.img"', JOBS, MOUNTS[mount], crash=""), tmp_path)
    check(run, tmp_path)


def test_jobs_that_share_a_file(tmp_path: Path) -> None:
    """Three write and sync it at once: no block is given out twice, each place has its last write."""
    jobs = (
        'job = [{ name = "a", numjobs = 3, filename = "f", rw = "randwrite", bs = "4k", size = "256k",'
        ' io_size = "64k", fsync = "4", randrepeat = 0 }]'
    )
    size = "4KiB"
    volume = (
        f'block_size = "{size}"\njournal = "{SIZES[size]}"\n'
        f'files = [{{ name = "f", size = "256KiB", layout = {LAYOUTS["sparse"]} }}]'
    )
    check(played(cell_text(volume, jobs, crash=""), tmp_path), tmp_path)
