"""fio's jobs on a device alone: to the ns where the model says so, and within the limits everywhere."""

from __future__ import annotations

import pytest
from fio_results_kit import HOST, row_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.device.profile import load_device_profile
from sim.calibrate.device_jobs import Host, simulate_job, with_model
from sim.units import NS_PER_S

NVME = load_device_profile("nvme")


def test_alone_a_read_takes_host_command_flash_and_transfer():
    """4 KiB: 3 us of host, 1 us command, 40 us flash, 586 ns at 7 GB/s; fio is ready before they end."""
    done = simulate_job(NVME, row_of("randread", 4096, 1), HOST)
    assert 44_586 == done.lat_ns
    assert NS_PER_S / 44_586 == pytest.approx(done.iops)


def test_a_host_that_is_slow_is_the_limit():
    """With 64 reads in flight and 20 us a read on one CPU: 50,000 a second, whatever the device."""
    assert 50_000 == pytest.approx(
        simulate_job(NVME, row_of("randread", 4096, 64), Host(20_000)).iops, rel=1e-3
    )


def test_clones_have_a_cpu_each():
    """Four clones of that host are four times as quick."""
    row = row_of("randread", 4096, 16)
    four = type(row)(**{name: getattr(row, name) for name in row.__slots__} | {"clones": 4})
    assert 200_000 == pytest.approx(simulate_job(NVME, four, Host(20_000)).iops, rel=5e-3)


def test_large_reads_in_sequence_meet_the_interface():
    """1 MiB with 8 in flight: 7 GB/s."""
    done = simulate_job(NVME, row_of("read", 1 << 20, 8), HOST)
    assert 7e9 / (1 << 20) == pytest.approx(done.iops, rel=1e-2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 64), st.integers(1, 64), st.integers(0, 20_000), st.sampled_from([512, 4096, 65536]))
def test_no_limit_is_passed(units, depth, command_ns, bs):
    """IOPS are at most what controller, units and reads in flight allow, and Little's law holds."""
    device = with_model(NVME, units=units, command_ns=command_ns)
    done = simulate_job(device, row_of("randread", bs, depth), Host(0))
    pages = -(-bs // 16384)
    least = max(command_ns, pages * 40_000 / units, 1)
    assert done.iops <= NS_PER_S / least * 1.1  # the first reads of the window were begun before it
    assert done.lat_ns >= 40_000 + command_ns
    assert depth == pytest.approx(done.iops * done.lat_ns / NS_PER_S, rel=0.1)


def test_what_the_host_does_between_reads_is_its_limit_too():
    """With 10 us within and 10 us between, one CPU issues 50,000 a second."""
    done = simulate_job(NVME, row_of("randread", 4096, 64), Host(10_000, 10_000))
    assert 50_000 == pytest.approx(done.iops, rel=1e-3)
