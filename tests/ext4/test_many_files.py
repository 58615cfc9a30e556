"""
What grows with the number of files grows in step with it: 10^5 files are ten times the work of 10^4.

Work is counted, not timed: calls of Python functions and generators, and comparisons of names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.cli.image.listing import run_ls
from sim.config.fio_jobs import files_of_jobs
from sim.ext4.check.run import check_store
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MmapStore
from sim.workload.fio.parse import parse_jobs

FEW, MANY = 150, 600


def _calls(action: Callable[[], object]) -> int:
    """Return how many calls of Python functions an action makes, resumed generators included."""
    count = 0

    def counts(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(counts)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def _spec(files: int) -> ImageSpec:
    return ImageSpec(tuple(FileSpec(f"/one/f{number}", 1) for number in range(files)), 4096)


def _looked_up(image: Path, files: int) -> None:
    opened = Image(MmapStore(image))
    for number in range(files):
        assert opened.lookup(f"/one/f{number}").is_regular


WORK: dict[str, Callable[[Path, int], object]] = {
    "make": lambda image, files: make_image(image, _spec(files)),
    "lookup": _looked_up,
    "ls -R": lambda image, _files: run_ls(image, recursive=True),
    "check": lambda image, _files: check_store(MmapStore(image), "image"),
}


@pytest.mark.parametrize("what", WORK)
def test_work_grows_with_the_files(what: str, tmp_path: Path) -> None:
    """Four times the files in one directory are at most four and a half times the calls."""
    calls = []
    for files in (FEW, MANY):
        image = tmp_path / f"{files}.img"
        make_image(image, _spec(files))
        WORK[what](image, files)  # what is loaded once is loaded
        calls.append(_calls(lambda image=image, files=files: WORK[what](image, files)))
    assert calls[1] <= 4.5 * calls[0], calls


class _Compared(str):
    """A name that counts how often it is compared."""

    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        _Compared.times += 1
        return str.__eq__(self, other)


def test_the_files_of_a_job_are_found_by_name() -> None:
    """Each name is compared a few times, not with all others."""
    (job,) = parse_jobs(f"[j]\nrw=read\nfilesize=4k\nnrfiles={MANY}\n", "j.fio")
    names = [_Compared(f"j.0.{number}") for number in range(MANY)]
    found = files_of_jobs([job], names)
    assert [f"j.0.{number}" for number in range(MANY)] == [file.path for _job_, file in found]
    assert _Compared.times <= 4 * MANY
