"""What the composition root hands on: the device's largest I/O, the kernel's plug, cores, checks."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import Rig, priced

from sim.block.queue.limits import QueueLimits
from sim.errors import InvariantError
from sim.units import KIB

RAM = QueueLimits(1 << 20, 1 << 16, 1 << 16, bio_based=True, driver="brd", copies="memcpy_page")


def test_a_bio_based_device_has_ios_of_31_pages() -> None:
    """
    brd sets no limits: BLK_SAFE_MAX_SECTORS, 255, are 31 pages of io_pages. With a window of 16 pages a
    random read of 64 is forced 31 pages at a time, whatever the queue's own limits say.
    """
    rig = Rig("page_io", [(0, 1000, 64)], 256 * KIB, limits=RAM, ra_pages=16)
    calls = rig.run([(0, 256 * KIB)], random=True)
    assert 3 == calls["force_page_cache_ra"]
    assert [("Q", 8000, 31 * 8), ("Q", 8248, 31 * 8), ("Q", 8496, 2 * 8)] == rig.letters("Q")


@pytest.mark.parametrize(("llc_cpus", "interrupts"), [(0, 1), (2, 2), (4, 1)])
def test_cores_share_caches_as_the_machine_says(llc_cpus: int, interrupts: int) -> None:
    """A read of core 3 on SATA, whose interrupt comes to core 0: sent on where they share no cache."""
    limits = QueueLimits(1280, 128, 32, driver="ahci")
    rig = Rig("page_io", [(0, 1000, 1)], 4 * KIB, limits=limits, cpus=4, llc_cpus=llc_cpus)
    rig.start([(0, 4 * KIB)], core=3)
    assert interrupts == rig.finish()["asm_common_interrupt"]


def test_a_wakeup_takes_what_the_machine_says() -> None:
    """A page that is decrypted in no time is there 7 us later: its worker has to wake."""
    options: dict[str, Any] = {"costs": priced(), "encrypted": True}
    for wakeup_ns in (0, 7_000):
        rig = Rig("page_io", [(0, 1000, 1)], 4 * KIB, wakeup_ns=wakeup_ns, **options)
        ends = rig.start([(0, 4 * KIB)])
        rig.finish()
        assert [50_000 + wakeup_ns] == ends


@pytest.mark.parametrize(
    ("kernel", "extents", "pages", "plugs"),
    [
        ("6.1", 40, 1, 2),  # 32 requests, and 8
        ("3.16", 40, 1, 3),  # 16, 16 and 8
        ("6.1", 3, 32, 3),  # each request has 128 KiB
        ("6.1", 3, 31, 1),
        ("3.16", 3, 32, 1),
    ],
)
def test_a_plug_is_the_kernels(kernel: str, extents: int, pages: int, plugs: int) -> None:
    """How many requests, and of what size the newest, flush it early: a window of extents that lie apart."""
    whole = extents * pages
    layout = [(pages * n, 1000 + 2 * pages * n, pages) for n in range(extents)]
    rig = Rig("page_io", layout, whole * 4 * KIB, kernel=kernel, ra_pages=whole)
    rig.run([(0, whole * 4 * KIB)])
    assert extents == rig.machine.queue.stats.issued
    assert plugs == rig.machine.queue.stats.plugs


def test_a_bio_that_never_ends_is_found() -> None:
    """At the end of a run nothing is pending."""
    rig = Rig("page_io", [(0, 1000, 1)], 4 * KIB)
    rig.run([(0, 4 * KIB)])
    rig.machine.queue.stats.pending = 1
    with pytest.raises(InvariantError, match="1 bios never completed"):
        rig.machine.check_quiet(rig.mapping)
