"""
Small models of devices, with times that are easily added up.
"""

from __future__ import annotations

from sim.block.device.constants import HddModel, SsdModel

SSD = SsdModel(
    units=4,
    page_bytes=4096,
    stripe_bytes=4096,
    placement="striped",
    latency_kind="constant",
    flash_read_ns=50_000,
    latency_sigma=0.0,
    command_ns=1_000,
    bandwidth=4_096_000_000,  # 1 us a page
)
HDD = HddModel(
    sectors=64 * 2 * 100,
    heads=2,
    zones=1,
    outer_track_sectors=64,
    inner_track_sectors=64,
    rpm=7_500,  # a revolution is 8 ms: 125 us a sector
    average_seek_ns=4_000_000,
    cylinder_switch_ns=1_000_000,
    head_switch_ns=500_000,
    command_ns=100_000,
    bandwidth=512_000_000,  # 1 us a sector
    drive_read_ahead_bytes=64 * 512,
    least_read_ahead_bytes=0,
    cache_segments=1,
    ncq="fifo",
    ncq_ageing=0.0,
)
