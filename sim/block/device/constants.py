"""
The constants of the device models, in the units they are computed with.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SsdModel:
    """
    Parallel flash units behind one controller and one interface.

    units: flash pages that can be read at once. page_bytes: read at once by a unit. stripe_bytes: consecutive
    bytes on one unit (placement "striped"). latency_kind: constant, exponential or lognormal with mean
    flash_read_ns; sigma: of the logarithm, for lognormal. bandwidth: bytes per second of the interface.
    """

    units: int
    page_bytes: int
    stripe_bytes: int
    placement: str
    latency_kind: str
    flash_read_ns: int
    latency_sigma: float
    command_ns: int
    bandwidth: int


@dataclass(frozen=True, slots=True)
class HddModel:
    """
    One actuator over rotating discs.

    sectors: capacity. heads: tracks per cylinder. outer/inner_track_sectors: sectors per track of the first
    and last of `zones` zones of equal width. average_seek_ns: over all pairs of cylinders.
    cylinder_switch_ns: seek to the next cylinder. drive_read_ahead_bytes: how far the drive reads on by
    itself; least_read_ahead_bytes: how far at least, for a stream, before the head goes elsewhere.
    cache_segments: places whose data the buffer keeps. ncq: "fifo" or "sptf" (shortest positioning time
    first, each less `ncq_ageing` times what it has waited).
    """

    sectors: int
    heads: int
    zones: int
    outer_track_sectors: int
    inner_track_sectors: int
    rpm: int
    average_seek_ns: int
    cylinder_switch_ns: int
    head_switch_ns: int
    command_ns: int
    bandwidth: int
    drive_read_ahead_bytes: int
    least_read_ahead_bytes: int
    cache_segments: int
    ncq: str
    ncq_ageing: float


@dataclass(frozen=True, slots=True)
class SsdWrite:
    """
    How an SSD takes writes: into its cache, from where they go to the flash.

    volatile_cache: it loses them with the power (WC). fua: it can write past its cache. acknowledge_ns: from
    the last byte in the cache to the answer. sustained_rate: bytes per second from the cache to the flash.
    least_ns: what a write takes of the flash at least (1/IOPS of small ones at depth). cache_bytes: of writes
    that may wait for the flash. flush_ns: from the last write on the flash to the answer of a flush.

    A profile may leave out what follows; it is off then. buffer_bytes, rate_behind_buffer: of flash that is
    written with one bit a cell; when that is full, what comes goes on at this rate, at which it is emptied
    all the time. read_behind_write_ns: what a read that comes while the flash is being written takes longer.
    write_behind_read_ns: by how much such a read delays what is being written.
    """

    volatile_cache: bool
    fua: bool
    acknowledge_ns: int
    sustained_rate: int
    least_ns: int
    cache_bytes: int
    flush_ns: int
    buffer_bytes: int = 0
    rate_behind_buffer: int = 0
    read_behind_write_ns: int = 0
    write_behind_read_ns: int = 0


@dataclass(frozen=True, slots=True)
class HddWrite:
    """
    How a disk takes writes: into its buffer, from where the head takes them in order.

    volatile_cache, fua: as SsdWrite. settle_ns: what a seek takes longer than for a read. cache_bytes: of the
    buffer, for writes. flush_ns: from the last write on the disc to the answer of a flush.
    """

    volatile_cache: bool
    fua: bool
    settle_ns: int
    cache_bytes: int
    flush_ns: int


Model = SsdModel | HddModel
WriteModel = SsdWrite | HddWrite
