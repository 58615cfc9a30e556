"""Reading an image that was not unmounted: what its journal holds counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from logs import Log
from typer.testing import CliRunner

from sim.cli.image.app import app
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore

SIZE = 1024


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log in which a file of three blocks has its second one anew, and its third one twice."""
    path = tmp_path / "clean.img"
    make_image(path, ImageSpec((FileSpec("/f", 3 * SIZE, data=b"a" * 3 * SIZE),), SIZE, journal_blocks=1024))
    base = MemoryStore(path.read_bytes())
    first = Image(base).lookup("/f").tree.extents[0].physical
    log = Log.on(base, "v3")
    log.commit([(first + 1, b"b" * SIZE), (first + 2, b"b" * SIZE)])
    log.commit([(first + 2, b"c" * SIZE)])
    log.power_cut()
    return log


def test_the_journal_is_replayed_in_memory(tmp_path: Path, log: Log) -> None:
    """As a mount would find it; the image stays as it is, and a note says what was done."""
    path = tmp_path / "a.img"
    path.write_bytes(log.bytes())
    result = CliRunner().invoke(app, ["cat", str(path), "/f"])
    assert (0, b"a" * SIZE + b"b" * SIZE + b"c" * SIZE) == (result.exit_code, result.stdout_bytes)
    done = "its journal is replayed in memory: 2 blocks of 2 transactions"
    assert f"readpath: note: {path} was not unmounted; {done}\n" == result.stderr
    assert log.bytes() == path.read_bytes()
    listed = CliRunner().invoke(app, ["ls", str(path), "/"])
    assert 0 == listed.exit_code
    assert "/f" in listed.stdout.split()


def test_a_damaged_journal_is_no_image_to_read(tmp_path: Path, log: Log) -> None:
    """Nobody knows what a mount would make of it."""
    place = log.written[1][0] * SIZE + 5
    log.store.write(place, b"x")
    path = tmp_path / "a.img"
    path.write_bytes(log.bytes())
    result = CliRunner().invoke(app, ["cat", str(path), "/f"])
    assert "a.img: journal: the checksum of block" in str(result.exception)
    assert "allowed: a journal that is whole (run e2fsck)" in str(result.exception)
    assert b"" == result.stdout_bytes
