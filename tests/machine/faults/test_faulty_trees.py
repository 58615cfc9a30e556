"""Runs in which blocks of an extent tree are not as they should be: what readers get, and what is noticed."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulty_cells import CellOf, accounted, cells_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.config.cell import Cell
from sim.errors import ConfigError
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.crc32c import crc32c
from sim.ext4.read.own_blocks import own_blocks_of
from sim.ext4.read.reader import Image
from sim.machine.faults import device
from sim.machine.faults.plan import FaultPlan
from sim.machine.run_cell import run_cell

PAGES, LEAF = 1400, 340
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
files = [{{ name = "data", size = "{PAGES * 4}KiB", layout = {{ kind = "fragmented", extent = "4KiB" }} }}]
[workload]
job = "fio --name=a --filename=data --rw=randread --bs=4k --continue_on_error=read"
[faults]
kind = "bit_flip"
on = "metadata"
count = 1
"""
SUMS = "volume.metadata_csum=true"
FEW, FEW_PAGES = "volume.files.size='1600KiB'", 400
"""Two leaves that the inode itself names, for what a leaf alone does: a third of the reads."""
PATHS = [
    ("page_io", "6.1"),
    ("page_io", "6.12"),
    ("page_io", "7.3"),
    ("mpage", "6.1"),
    ("per_block", "6.1"),
    ("buffer_head", "6.1"),
    ("buffer_head", "7.3"),
]
OUTCOMES = ("reads_right", "reads_eio", "reads_wrong")


@pytest.fixture(scope="session")
def cell_of(tmp_path_factory: pytest.TempPathFactory) -> CellOf:
    """Return what makes a cell with values replaced, and its image, made once."""
    return cells_of(tmp_path_factory.mktemp("trees"), EXPERIMENT)


def planned(cell: Cell, image: Path, plan: FaultPlan) -> dict[str, Any]:
    """Return the metrics of a run with these faults, all of them accounted for."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(device, "plan_faults", lambda *_: plan)
        return accounted(cell, image)


def outcomes(found: dict[str, Any]) -> tuple[int, int, int]:
    """Return how many reads were right, refused, wrong."""
    right, refused, wrong = (int(found[key]) for key in OUTCOMES)
    return right, refused, wrong


def nodes(image: Path) -> list[int]:
    """Return the blocks of the file's tree: five leaves, then their index."""
    return Image.open(image).lookup("/data").tree.blocks


@pytest.mark.parametrize(("path", "kernel"), PATHS)
def test_a_tree_that_is_right_counts_and_costs_the_same(cell_of: CellOf, path: str, kernel: str) -> None:
    """Mapped by the bytes that were read, or by the image: the same calls, bios, and nanoseconds."""
    job = 'workload.job="fio --name=a --filename=data --rw=randread --bs=20k"'
    sets = job, f"path={path}", f"machine.kernel={kernel}"
    read = planned(*cell_of(*sets), FaultPlan())
    known = planned(*cell_of(*sets, "faults.on=data"), FaultPlan())
    assert known == read
    assert 0 < read["bios"]


@pytest.mark.parametrize(("path", "kernel"), PATHS)
@pytest.mark.parametrize(
    ("node", "below", "fio"), [(4, PAGES - 4 * LEAF, "--rw=randread"), (5, PAGES, "--rw=read")]
)
def test_what_lies_below_a_bad_sector_is_refused(
    cell_of: CellOf, path: str, kernel: str, node: int, below: int, fio: str
) -> None:
    """A leaf takes its extents along, the index all, on every path; no read is wrong."""
    job = f'workload.job="fio --name=a --filename=data {fio} --bs=4k --continue_on_error=read"'
    cell, image = cell_of(f"path={path}", f"machine.kernel={kernel}", job)
    block = nodes(image)[node]
    found = planned(cell, image, FaultPlan(bad_sectors={block * 8 + 3: block}))
    assert (PAGES - below, below, 0) == outcomes(found)
    assert (1, 1) == (found["faults_injected"], found["faults_detected"])


AT_ENTRY = 12 + 7 * 12
"""Byte of the eighth extent of a leaf: ee_block, ee_len, ee_start_hi, ee_start_lo."""


@pytest.mark.parametrize(
    ("byte", "bit", "refused", "wrong"),
    [
        (0, 0, LEAF, 0),  # the magic number
        (2, 0, LEAF, 0),  # 341 entries, where there is room for 340
        (2, 2, 0, 4),  # 336 entries of 340: the last blocks are a hole
        (4, 0, LEAF, 0),  # more room than there is, 341 of 340
        (6, 0, LEAF, 0),  # the depth
        (8, 5, 0, 0),  # the generation, which nothing looks at
        (12, 0, LEAF, 0),  # the first extent begins elsewhere than the index says
        (AT_ENTRY, 0, LEAF, 0),  # an extent that overlaps its neighbour
        (AT_ENTRY + 4, 0, LEAF, 0),  # of 0 blocks
        (AT_ENTRY + 4, 2, LEAF, 0),  # of 5 blocks, over its neighbour
        (AT_ENTRY + 5, 7, 0, 1),  # not written: zeros
        (AT_ENTRY + 6, 0, LEAF, 0),  # 2^32 blocks on
        (AT_ENTRY + 8, 1, 0, 1),  # another block
        (AT_ENTRY + 11, 7, LEAF, 0),  # behind the end
        (4092, 0, 0, 0),  # where a checksum would lie
    ],
)
def test_a_flipped_bit_of_a_leaf(cell_of: CellOf, byte: int, bit: int, refused: int, wrong: int) -> None:
    """The structural rules catch some, others are wrong data; with metadata_csum all are refused."""
    for sums, told in (
        ("false", (FEW_PAGES - refused - wrong, refused, wrong)),
        ("true", (FEW_PAGES - LEAF, LEAF, 0)),
    ):
        cell, image = cell_of(f"volume.metadata_csum={sums}", FEW)
        found = planned(cell, image, FaultPlan(flips={nodes(image)[0]: byte * 8 + bit}))
        assert told == outcomes(found)
        assert bool(told[1]) == found["faults_detected"]


@pytest.mark.parametrize("path", ["page_io", "buffer_head"])
def test_a_key_of_the_index(cell_of: CellOf, path: str) -> None:
    """
    The second leaf's key, 340, becomes 468: what lies between is a hole behind the first leaf, zeros,
    and the second one does not begin where its key says.
    """
    for sums, told in (("false", (PAGES - LEAF, LEAF - 128, 128)), ("true", (0, PAGES, 0))):
        cell, image = cell_of(f"path={path}", f"volume.metadata_csum={sums}")
        assert told == outcomes(planned(cell, image, FaultPlan(flips={nodes(image)[5]: 24 * 8 + 7})))


def blocks_of_no_file(image: Image) -> set[int]:
    """Return the blocks that no leaf may name."""
    sb = image.superblock
    return {
        sb.group_blocks(group).start + block
        for group, runs in own_blocks_of(image).items()
        for run in runs
        for block in run
    }


def naive_leaf(raw: bytes, image: Image, own: set[int], key: int) -> dict[int, int | None] | None:
    """
    Return what a leaf of this file maps: block -> place, None for zeros; None if it is to be refused.

    own: blocks that no leaf may name.
    """
    magic, entries, most, depth = struct.unpack_from("<4H", raw)
    if magic != 0xF30A or most > LEAF or not most or entries > most or depth or not entries:
        return None
    found: dict[int, int | None] = {}
    last = -1
    for at in range(entries):
        first, length, high, low = struct.unpack_from("<IHHI", raw, 12 + 12 * at)
        zeros, place = length > 32768, high << 32 | low
        length -= 32768 * zeros
        if (at == 0 and first != key) or first <= last or not length or first + length >= 1 << 32:
            return None
        if place + length > image.blocks_count or place == 0:
            return None
        if not own.isdisjoint(range(place, place + length)):
            return None
        last = first + length - 1
        if length < 2 * LEAF:
            found.update({first + n: None if zeros else place + n for n in range(length)})
    return found


@settings(max_examples=20, deadline=None)
@given(
    flips=st.dictionaries(
        st.integers(0, 1),
        st.one_of(
            st.integers(0, 4096 * 8 - 1),
            st.tuples(st.integers(1, 20), st.integers(0, 95)).map(lambda at: at[0] * 96 + at[1]),
        ),
        min_size=1,
    ),
    path=st.sampled_from([path for path, kernel in PATHS if kernel == "6.1"]),
    sums=st.booleans(),
)
def test_as_a_naive_walk_has_it(cell_of: CellOf, flips: dict[int, int], path: str, sums: bool) -> None:
    """Any bits of leaves flipped: each page is refused, right or wrong as a walk entry by entry says."""
    cell, image = cell_of(f"path={path}", f"volume.metadata_csum={str(sums).lower()}", FEW)
    volume, blocks = Image.open(image), nodes(image)
    data = volume.lookup("/data")
    whole = volume.read_file(data)
    own, counted = blocks_of_no_file(volume), [0, 0, 0]
    seed = Checksums(volume.superblock).inode_seed(data.raw_bytes, data.number)
    for leaf in range(2):
        raw = bytearray(volume.read_block(blocks[leaf]))
        if leaf in flips:
            raw[flips[leaf] // 8] ^= 1 << flips[leaf] % 8
        maps = naive_leaf(bytes(raw), volume, own, leaf * LEAF)
        if sums and crc32c(seed, raw[:4092]) != int.from_bytes(raw[4092:], "little"):
            maps = None
        for page in range(leaf * LEAF, min((leaf + 1) * LEAF, FEW_PAGES)):
            if maps is None:
                counted[1] += 1
                continue
            place = maps.get(page)
            held = bytes(4096) if place is None else bytes(volume.read_block(place))
            counted[0 if held == whole[page * 4096 : page * 4096 + 4096] else 2] += 1
    plan = FaultPlan(flips={blocks[leaf]: bit for leaf, bit in flips.items()})
    assert tuple(counted) == outcomes(planned(cell, image, plan))


@pytest.mark.parametrize("kind", ["misdirected_write", "lost_write"])
def test_old_blocks_are_no_nodes(cell_of: CellOf, kind: str) -> None:
    """Without any checksum: random bytes are no node, and another leaf begins elsewhere."""
    cell, image = cell_of(f"faults.kind={kind}", "faults.count=2")
    for seed in range(4):
        found = accounted(replace(cell, seed=seed), image)
        assert 0 == found["reads_wrong"] == found["faults_undetected"]
        assert 0 < found["reads_eio"]


@pytest.mark.parametrize("path", ["page_io", "mpage", "per_block", "buffer_head"])
@pytest.mark.parametrize("kernel", ["6.1", "7.3"])
def test_a_page_of_several_blocks(cell_of: CellOf, path: str, kernel: str) -> None:
    """
    Blocks of 1 KiB in extents of different lengths, so that leaves end within pages: a page is refused if
    one of its blocks is below the bad leaf, and no other; one that came in part is mapped and read again.
    """
    layout = 'layout={kind="aged",extent="2KiB",seed=3}'
    volume = f'volume={{block_size="1KiB",files=[{{name="data",size="1MiB",{layout}}}]}}'
    cell, image = cell_of(volume, f"path={path}", f"machine.kernel={kernel}")
    tree = Image.open(image).lookup("/data").tree
    key, block = tree.leaf_key, tree.leaf_chain[2][-1]
    assert key[2] % 4
    assert key[3] % 4
    below = (key[3] - 1) // 4 - key[2] // 4 + 1
    found = planned(cell, image, FaultPlan(bad_sectors={block * 2: block}))
    assert (256 - below, below, 0) == outcomes(found)


@pytest.mark.parametrize("scheme", ["fscrypt-v2", "dm-crypt"])
def test_encrypted_files(cell_of: CellOf, scheme: str) -> None:
    """fs/crypto does not reach the tree; below dm-crypt a flip garbles 16 bytes of it, an entry and more."""
    plan = FaultPlan(flips={nodes(cell_of(FEW)[1])[0]: (AT_ENTRY + 8) * 8 + 1})
    told = {"fscrypt-v2": (FEW_PAGES - 1, 0, 1), "dm-crypt": (FEW_PAGES - LEAF, LEAF, 0)}
    assert told[scheme] == outcomes(planned(*cell_of(f"encryption.scheme={scheme}", FEW), plan))


def test_a_flip_on_the_way_stays(cell_of: CellOf) -> None:
    """Each block is read once: what came wrong is judged again by each reader, and never read again."""
    cell, image = cell_of(SUMS, 'faults={kind="transfer_flip",on="metadata",rate=1.0}')
    found = accounted(cell, image)
    assert (0, PAGES, 0) == outcomes(found)
    assert (1, 1) == (found["faults_injected"], found["faults_detected"])


def test_the_job_ends(cell_of: CellOf) -> None:
    """Without continue_on_error the first read that is refused ends the job, as with data."""
    cell, image = cell_of('workload.job="fio --name=a --filename=data --rw=read --bs=4k"')
    block = nodes(image)[1]
    found = planned(cell, image, FaultPlan(bad_sectors={block * 8: block}))
    assert (LEAF, 1, 1) == (found["reads_right"], found["reads_eio"], found["jobs_ended"])


@pytest.mark.parametrize("path", ["page_io", "mpage", "per_block", "buffer_head"])
def test_a_block_that_fails_beside_data(cell_of: CellOf, path: str) -> None:
    """With faults of data a block of the tree fails if a command of its own or of data does: EIO below it."""
    cell, image = cell_of("faults.on=data", f"path={path}", FEW)
    block = nodes(image)[0]
    found = planned(cell, image, FaultPlan(bad_sectors={block * 8: block}))
    assert (FEW_PAGES - LEAF, LEAF, 0) == outcomes(found)
    assert 1 == found["faults_detected"]


@pytest.mark.parametrize("sets", [("path=iomap",), ("checksums.layout=table_all",)])
def test_where_no_path_reads_on_it_ends_the_cell(cell_of: CellOf, sets: tuple[str, ...]) -> None:
    """One line that names the block."""
    cell, image = cell_of("faults.on=data", *sets)
    block = nodes(image)[1]
    with pytest.raises(
        ConfigError, match=f"faults: metadata block {block} cannot be read: not modelled here"
    ):
        planned(cell, image, FaultPlan(bad_sectors={block * 8: block}))


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["path=iomap"], 'faults.on "metadata" on path iomap, mapping extents'),
        (["mapping=indirect"], 'faults.on "metadata" on path page_io, mapping indirect'),
        (["cache.status=es_cold"], "faults.on \"metadata\" with cache.status 'es_cold', which reads none"),
        (["volume.verity=true"], 'faults.on "metadata" with volume.verity or a checksums.layout'),
        (["checksums.layout=table_all"], 'faults.on "metadata" with volume.verity or a checksums.layout'),
        (["faults.on=tags", SUMS, "checksums.layout=per_extent"], '"tags" with volume.metadata_csum'),
        (["volume.metadata_csum=3"], "volume.metadata_csum"),
    ],
)
def test_wrong_values_are_one_line_each(cell_of: CellOf, sets: list[str], told: str) -> None:
    """Place, value, and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        cell_of(*sets)
    assert told in str(caught.value)
    assert "allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_a_tree(cell_of: CellOf) -> None:
    """Up to four extents lie in the inode: there is nothing to break."""
    cell, image = cell_of("volume.files.layout={kind='contiguous'}")
    with pytest.raises(ConfigError, match=r"no blocks of 'metadata'; allowed: a file of more than 4 extents"):
        run_cell(cell, image, False)
