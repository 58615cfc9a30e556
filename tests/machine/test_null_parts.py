"""The null implementations: each leaves out one part, and nothing else differs."""

from __future__ import annotations

from core_kit import Rig, sequential

from sim.fs.mapper import NullMapper
from sim.kernels import NULL
from sim.paths.design import PathDesign
from sim.paths.designs import page_io
from sim.paths.post_read_steps import NullStep
from sim.units import KIB

PAGES = 64
SIZE = PAGES * 4 * KIB
EXTENTS = [(0, 8192, PAGES)]


def test_the_null_path_reads_nothing() -> None:
    """`nop`: every page comes up to date, no bio is made."""
    rig = Rig("nop", EXTENTS, SIZE)
    calls = rig.run(sequential(SIZE, 128 * KIB))
    assert 0 == rig.machine.queue.stats.queued
    assert PAGES == calls["__filemap_add_folio"]
    assert "bio_alloc_bioset" not in calls


def test_the_null_mapper_costs_nothing() -> None:
    """The same bios and calls, but for those of mapping, of which there are none."""
    with_ext4, without = (
        Rig("page_io", EXTENTS, SIZE, status="warm", **mapping) for mapping in ({}, {"mapping": NullMapper})
    )
    theirs, ours = (rig.run(sequential(SIZE, 128 * KIB)) for rig in (with_ext4, without))
    mapping = {"ext4_map_blocks", "ext4_es_lookup_extent"}
    assert {symbol: calls for symbol, calls in theirs.items() if symbol not in mapping} == ours
    assert mapping == set(theirs) - set(ours)


def test_the_null_mapper_serves_every_path() -> None:
    """A cold tree, a hole in it, one block at a time or many: what is read is what the layout says."""
    for path in ("buffer_head", "mpage", "page_io", "page_io_pure", "iomap", "per_block"):
        rig = Rig(path, [(0, 8192, 3), (5, 9000, 4)], 12 * 4 * KIB, status="all_cold", mapping=NullMapper)
        rig.run(sequential(12 * 4 * KIB, 16 * KIB))
        sectors = sum(size * count for size, count in rig.machine.queue.stats.bio_sectors.items())
        assert 7 * 8 == sectors


def test_the_null_kernel_reads_nothing_ahead() -> None:
    """Each read(2) of a page brings that page, in a bio of its own."""
    rig = Rig("page_io", EXTENTS, SIZE, kernel=NULL)
    rig.run(sequential(SIZE, 4 * KIB))
    assert {8: PAGES} == rig.machine.queue.stats.bio_sectors


def test_the_null_step_costs_a_work_item() -> None:
    """A bio is done in a work item with nothing in it: as many as bios; no decryption."""
    design = PathDesign("page_io and nothing", page_io.make, post_read=(NullStep,))
    plain, stepped = (Rig(path, EXTENTS, SIZE) for path in ("page_io", design))
    before, after = (rig.run(sequential(SIZE, 128 * KIB)) for rig in (plain, stepped))
    bios = stepped.machine.queue.stats.queued
    assert bios == plain.machine.queue.stats.queued == after["process_one_work"]
    assert "process_one_work" not in before
    named_by_ext4 = {"fscrypt_enqueue_decrypt_work", "decrypt_work"}
    assert named_by_ext4 == {symbol for symbol in after if "crypt" in symbol}


def test_the_null_step_on_buffer_heads_is_a_work_item_each() -> None:
    """One for each buffer head."""
    from sim.paths.designs import buffer_head

    design = PathDesign("buffer_head and nothing", buffer_head.make, post_read=(NullStep,))
    calls = Rig(design, EXTENTS, SIZE).run(sequential(SIZE, 128 * KIB))
    assert PAGES == calls["decrypt_bh"] == calls["end_buffer_async_read"]
