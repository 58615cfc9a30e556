"""Files with checksums on a device with faults: what a layout can notice is EIO, and all faults add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faulty_cells import CellOf, accounted, cells_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.config.cell import Cell
from sim.ext4.read.reader import Image
from sim.machine.faults import device

KIB_OF_FILE = 240
EXPERIMENT = f"""\
title = "t"
path = "page_io"
[machine]
large_folios = false
[device]
profile = "nvme"
[cache]
status = "all_cold"
[volume]
block_size = "4KiB"
files = [{{ name = "data", size = "{KIB_OF_FILE}KiB", layout = {{ kind = "fragmented", extent = "24KiB" }} }}]
[workload]
job = "fio --name=a --filename=data --rw=randread --bs=4k --continue_on_error=read"
[checksums]
layout = "table_data"
[faults]
kind = "bit_flip"
count = 6
"""
PAGES = KIB_OF_FILE // 4
LAYOUTS = [
    "{layout='table_all'}",
    "{layout='table_data',algorithm='aes-cmac'}",
    "{layout='per_extent',algorithm='xxh64'}",
    "{layout='per_extent',extent_blocks=1,algorithm='hmac-sha256'}",
    "{layout='per_extent',extent_blocks=4}",
    "{layout='per_extent_place',extent_blocks=2}",
]
KINDS = ["sector_error", "bit_flip", "misdirected_write", "lost_write"]


@pytest.fixture(scope="session")
def cell_of(tmp_path_factory: pytest.TempPathFactory) -> CellOf:
    """Return what makes a cell with values replaced, and its image, made once."""
    return cells_of(tmp_path_factory.mktemp("faulty_checksums"), EXPERIMENT)


def counted(cell: Cell, image: Path, readers: int = 1) -> dict[str, Any]:
    """Return the metrics of a run in which every fault must be accounted for, and every read."""
    found = accounted(cell, image)
    assert PAGES * readers == found["reads_right"] + found["reads_eio"] + found["reads_wrong"]
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_faults_of_data(cell_of: CellOf, layout: str, kind: str) -> None:
    """Of 60 pages in extents of 6 six are hit: EIO for these, or for all of their runs; none else."""
    cell, image = cell_of(f"checksums={layout}", f"faults.kind={kind}")
    found = counted(cell, image)
    assert (6, 6, 0) == tuple(found[key] for key in ("faults_injected", "faults_detected", "reads_wrong"))
    assert runs_of(cell, image) == found["reads_eio"]


def runs_of(cell: Cell, image: Path) -> int:
    """Return how many blocks are in the runs of those that are hit."""
    volume = Image.open(image)
    inode = volume.lookup("/data")
    assert cell.config.faults is not None
    plan = device.FaultyDevice(cell, cell.config.faults, volume, volume.store).plan
    most = cell.config.checksums.extent_blocks if "per_extent" in cell.config.checksums.layout else 1
    refused = set[tuple[int, int]]()
    for extent in inode.tree.extents:
        for at in range(extent.length):
            if extent.physical + at in plan.blocks:
                step = most or extent.length
                start = at // step * step
                refused.update(
                    (extent.logical, run) for run in range(start, min(start + step, extent.length))
                )
    return len(refused)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["sector_error", "bit_flip", "lost_write"])
def test_faults_of_checksums(cell_of: CellOf, layout: str, kind: str) -> None:
    """
    All checksums of the file lie in one block: who cannot read it, or believe it, has nothing of the data. A
    bit beside a list, which shares its block with nothing here, harms nobody and is not noticed.
    """
    cell, image = cell_of(f"checksums={layout}", f"faults={{kind='{kind}',on='tags',count=1}}")
    found = counted(cell, image)
    assert 1 == found["faults_injected"]
    assert PAGES * found["faults_detected"] == found["reads_eio"]
    assert 0 == found["reads_wrong"]
    if "table" in layout or kind != "bit_flip":
        assert 1 == found["faults_detected"]


@pytest.mark.parametrize("read", ["before", "with", "after"])
def test_checksums_that_were_flipped_on_the_way_are_read_again(cell_of: CellOf, read: str) -> None:
    """A row that comes wrong half of the time: a page has two tries, and once it is right it stays."""
    cell, image = cell_of(
        f"checksums={{layout='table_data',read='{read}'}}",
        "faults={kind='transfer_flip',on='tags',rate=0.5}",
        "run.seeds=[3]",
    )
    found = counted(cell, image)
    assert found["faults_injected"] == found["faults_detected"] == found["checksums_failed"]
    assert found["checksum_bytes_read"] == 4096 * (found["faults_injected"] + 1)
    assert 0 == found["reads_wrong"]


def test_what_is_in_memory_is_not_read(cell_of: CellOf) -> None:
    """Checksums that were read before the run: nobody meets the fault of their block."""
    sets = ("faults={kind='bit_flip',on='tags',count=1}", "cache.status=es_cold")
    found = counted(*cell_of(*sets))
    assert (PAGES, 1) == (found["reads_right"], found["faults_never_read"])


@settings(max_examples=60, deadline=None)
@given(
    layout=st.sampled_from(LAYOUTS),
    kind=st.sampled_from([*KINDS, "transfer_flip"]),
    on=st.sampled_from(["data", "tags"]),
    block=st.sampled_from(["1KiB", "2KiB", "4KiB"]),
    scheme=st.sampled_from(["none", "fscrypt-v2"]),
    by=st.sampled_from([("page_io", "6.1"), ("buffer_head", "6.1"), ("iomap", "6.1"), ("page_io", "7.3")]),
    read=st.sampled_from(["before", "with", "after"]),
    context=st.sampled_from(["work", "completion"]),
    rw=st.sampled_from(["read", "randread"]),
    readers=st.integers(1, 3),
    on_device=st.sampled_from(["nvme", "ramdisk"]),
    seed=st.integers(0, 5),
)
def test_no_wrong_byte_is_given_to_anyone(
    cell_of: CellOf,
    layout: str,
    kind: str,
    on: str,
    block: str,
    scheme: str,
    by: tuple[str, str],
    read: str,
    context: str,
    rw: str,
    readers: int,
    on_device: str,
    seed: int,
) -> None:
    """Any layout, fault, block size, path: each read ends, right or EIO; what goes unnoticed does no harm."""
    many = "rate=0.1" if kind == "transfer_flip" else "count=5"
    fio = f"fio --name=a --filename=data --rw={rw} --bs=4k --numjobs={readers} --continue_on_error=read"
    cell, image = cell_of(
        f"checksums={layout[:-1]},read='{read}',context='{context}'}}",
        f"faults={{kind='{kind}',on='{on}',{many}}}",
        f"volume.block_size={block}",
        f"encryption.scheme={scheme}",
        f"path={by[0]}",
        f"machine.kernel={by[1]}",
        f"run.seeds=[{seed}]",
        f"device.profile={on_device}",
        f'workload.job="{fio}"',
    )
    found = counted(cell, image, readers)
    assert (0, 0) == (found["reads_wrong"], found["wrong_bytes"])
    if on == "data" or "table" in layout:
        assert 0 == found["faults_undetected"]
