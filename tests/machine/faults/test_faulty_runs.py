"""Whole runs on a device with faults: what readers get with each scheme, and what is noticed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from faulty_cells import CellOf, accounted, cells_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.config.cell import Cell
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.ext4.read.reader import Image
from sim.machine.faults import device
from sim.machine.faults.plan import FaultPlan
from sim.machine.run_cell import run_cell
from sim.volume.verity_image import descriptor_of

PAGES = 300
EXPERIMENT = f"""\
title = "t"
path = "page_io"
[machine]
large_folios = false
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{{ name = "data", size = "{PAGES * 4}KiB", layout = {{ kind = "contiguous" }} }}]
[workload]
job = "fio --name=a --filename=data --rw=read --bs=4k --continue_on_error=read"
[faults]
kind = "bit_flip"
count = 8
"""
VERITY = ["volume.verity=true"]


@pytest.fixture(scope="session")
def cell_of(tmp_path_factory: pytest.TempPathFactory) -> CellOf:
    """Return what makes a cell with values replaced, and its image, made once."""
    return cells_of(tmp_path_factory.mktemp("faults"), EXPERIMENT)


def counted(cell: Cell, image: Path) -> dict[str, Any]:
    """Return the metrics of a run in which every fault must be accounted for, and every read."""
    found = accounted(cell, image)
    assert found["reads"] == found["reads_right"] + found["reads_wrong"]
    return found


@pytest.mark.parametrize("path", ["page_io", "buffer_head"])
@pytest.mark.parametrize("kind", ["bit_flip", "misdirected_write", "lost_write"])
@pytest.mark.parametrize(
    ("scheme", "noticed"),
    [
        ("volume.verity=false", False),
        ("encryption.scheme=fscrypt-v2", False),
        ("encryption.scheme=dm-crypt", False),
        ("volume.verity=true", True),
    ],
)
def test_silent_corruption(cell_of: CellOf, path: str, kind: str, scheme: str, noticed: bool) -> None:
    """Eight pages of 300: fs-verity gives EIO for these alone; without it, encrypted or not, wrong data."""
    found = counted(*cell_of(f"path={path}", f"faults.kind={kind}", scheme))
    told = {"reads_right": PAGES - 8, "reads_eio": 8 * noticed, "reads_wrong": 8 * (not noticed)}
    assert told == {key: found[key] for key in told}
    assert {8 * noticed: 8 * (not noticed)} == {found["faults_detected"]: found["faults_undetected"]}


@pytest.mark.parametrize("path", ["page_io", "buffer_head", "iomap"])
@pytest.mark.parametrize("scheme", ["volume.verity=false", "encryption.scheme=dm-crypt"])
def test_a_bad_sector_is_always_told(cell_of: CellOf, path: str, scheme: str) -> None:
    """The device says so itself: EIO for the pages of the bad sectors, whatever lies between."""
    found = counted(*cell_of(f"path={path}", "faults.kind=sector_error", scheme))
    assert (PAGES - 8, 8, 0) == tuple(found[key] for key in ("reads_right", "reads_eio", "reads_wrong"))
    assert 8 == found["faults_detected"]


def test_a_flip_garbles_what_is_encrypted(cell_of: CellOf) -> None:
    """One bit of plain data is one byte; of XTS it is a cipher block of 16, a few of which agree."""
    plain = counted(*cell_of())["wrong_bytes"]
    garbled = counted(*cell_of("encryption.scheme=fscrypt-v2"))["wrong_bytes"]
    assert 8 == plain
    assert 8 * 14 <= garbled <= 8 * 16


@pytest.mark.parametrize("path", ["page_io", "buffer_head"])
@pytest.mark.parametrize("kernel", ["6.1", "7.3"])
@pytest.mark.parametrize(("tree_block", "below"), [(0, range(300)), (1, range(128)), (3, range(256, 300))])
def test_a_flip_in_the_tree_refuses_what_lies_below_it(
    cell_of: CellOf,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    kernel: str,
    tree_block: int,
    below: range,
) -> None:
    """300 pages have 3 leaves below the root: a bad leaf takes 128 pages with it, the root all of them."""
    if (path, kernel) == ("buffer_head", "7.3"):
        pytest.skip("not modelled")
    cell, image = cell_of(f"path={path}", f"machine.kernel={kernel}", *VERITY)
    hit = place(image, 304 + tree_block)
    monkeypatch.setattr(device, "plan_faults", lambda *_: FaultPlan(flips={hit: 99}))
    found = counted(cell, image)
    assert {"reads_right": PAGES - len(below), "reads_eio": len(below), "reads_wrong": 0} == {
        key: found[key] for key in ("reads_right", "reads_eio", "reads_wrong")
    }
    assert 1 == found["faults_detected"]


def place(image: Path, lblk: int) -> int:
    """Return where a block of the file lies."""
    volume = Image.open(image)
    extent = volume.lookup("/data").tree.find(lblk)
    assert extent is not None
    return extent.physical + lblk - extent.logical


@settings(max_examples=12, deadline=None)
@given(
    flips=st.dictionaries(st.integers(0, 303), st.integers(0, 8 * 4096 - 1), min_size=1, max_size=4),
    order=st.sampled_from(["read", "randread"]),
    kernel=st.sampled_from(["6.1", "7.3"]),
    pages=st.sampled_from([1, 4, 12]),
)
def test_exactly_what_lies_below_a_flip_is_refused(
    cell_of: CellOf, flips: dict[int, int], order: str, kernel: str, pages: int
) -> None:
    """
    Data blocks 0 to 299, tree blocks 300 (the root) to 303 of a file, any of them flipped: no wrong byte is
    read, and each read that meets no page below a flip is right.
    """
    fio = f"fio --name=a --filename=data --rw={order} --bs={pages * 4}k --continue_on_error=read"
    cell, image = cell_of(f'workload.job="{fio}"', f"machine.kernel={kernel}", *VERITY)
    bad: set[int] = set()
    for block in flips:
        leaf = block - PAGES - 1
        below = range(block, block + 1) if leaf < -1 else range(leaf * 128, leaf * 128 + 128)
        bad.update(range(PAGES) if leaf == -1 else below)
    places = {place(image, block if block < PAGES else block + 4): bit for block, bit in flips.items()}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(device, "plan_faults", lambda *_: FaultPlan(flips=places))
        found = counted(cell, image)
    refused = sum(1 for at in range(0, PAGES, pages) if bad.intersection(range(at, at + pages)))
    assert (0, 0) == (found["reads_wrong"], found["wrong_bytes"])
    assert (PAGES // pages - refused, refused) == (found["reads_right"], found["reads_eio"])


def test_a_flip_in_transfer_is_read_again(cell_of: CellOf) -> None:
    """With fs-verity the page that was flipped on the way is refused, read again, and right nearly always."""
    sets = ['faults={kind="transfer_flip",rate=0.05}']
    plain, verity = counted(*cell_of(*sets)), counted(*cell_of(*sets, *VERITY))
    assert plain["reads_wrong"] > 0
    assert 0 == plain["faults_detected"] == verity["faults_undetected"] == verity["reads_wrong"]
    assert verity["faults_detected"] > verity["reads_eio"]


def test_the_fsverity_program_knows_the_digest(cell_of: CellOf, tmp_path: Path) -> None:
    """What the descriptor of the image says is what `fsverity digest` makes of the same bytes."""
    program = shutil.which("fsverity")
    if program is None:
        pytest.skip("fsverity is not installed")
    _, image = cell_of(*VERITY)
    volume = Image.open(image)
    (tmp_path / "f").write_bytes(volume.read_file(volume.lookup("/data")))
    words = [program, "digest", str(tmp_path / "f"), "--compact"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    descriptor = descriptor_of(volume, volume.lookup("/data"))
    assert descriptor is not None
    assert said.split()[0].removeprefix("sha256:") == descriptor.digest.hex()


def test_runs_without_data_take_as_long(cell_of: CellOf) -> None:
    """Hashing real data changes neither a count nor a time of a file that is right."""
    cell, image = cell_of(*VERITY)
    found = []
    for data in ("real", "off"):
        config = cell.config.model_copy(update={"faults": None, "data": data})
        result = run_cell(Cell(0, (), config, "x", 0, cell.base), image, False)
        found.append({**result.metrics, "digest_ok": 0})
    assert found[0] == found[1]


def given(cell_of: CellOf, folder: Path, *sets: str) -> dict[str, Any]:
    """Return the metrics of a run on the image of a cell, as an image of somebody's own."""
    _, image = cell_of(*sets)
    volume = f'image = "{image}"'
    text = "\n".join(line for line in EXPERIMENT.splitlines() if not line.startswith(("block_size", "files")))
    (folder / "given.toml").write_text(text.replace("[volume]", f"[volume]\n{volume}"))
    (cell,) = load_experiment(folder / "given.toml", ["faults.on=tags", "faults.count=1"]).cells
    return counted(cell, image)


def test_an_image_of_ones_own_is_verified_too(cell_of: CellOf, tmp_path: Path) -> None:
    """What has the flag is held against its tree; where no file has one there is nothing to break."""
    found = given(cell_of, tmp_path, *VERITY)
    assert (1, 0) == (found["faults_detected"], found["reads_wrong"])
    assert 0 < found["reads_eio"]
    with pytest.raises(ConfigError, match=r"faults\.on: the files have no blocks of 'tags'; allowed: data"):
        given(cell_of, tmp_path)


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["faults.rate=0.5"], "how many blocks are hit is said once"),
        (["faults.count=0"], "faults.count"),
        (["faults.kind=broken"], "faults.kind"),
        (['faults={kind="transfer_flip",count=3}'], "count with transfer_flip"),
        (['faults.on="tags"'], 'faults.on "tags" without any'),
        (["data=off"], "faults with data off"),
        (["cache.pages=warm", "workload.job.invalidate=0"], "faults with pages that are cached before"),
        (["encryption.scheme=ecryptfs"], "faults with encryption.scheme 'ecryptfs'"),
        (["workload.job.rw=write"], "faults with data off, or with what is no job that reads"),
        (["machine.kernel=7.3", "machine.large_folios=true"], "faults with large folios"),
        ([*VERITY, "path=iomap"], "volume.verity on path iomap"),
        ([*VERITY, "machine.kernel=6.12"], "volume.verity with kernel 6.12"),
        ([*VERITY, "encryption.scheme=dm-crypt"], "volume.verity with encryption.scheme 'dm-crypt'"),
        ([*VERITY, "volume.block_size=1KiB"], "volume.verity with blocks of 1KiB on kernel 6.1"),
        ([*VERITY, "volume.files.layout={kind='hole'}"], "volume.verity with layout 'hole'"),
    ],
)
def test_wrong_values_are_one_line_each(cell_of: CellOf, sets: list[str], told: str) -> None:
    """Place, value, and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        cell_of(*sets)
    assert told in str(caught.value)
    assert "allowed" in str(caught.value)
    assert "\n" not in str(caught.value)
