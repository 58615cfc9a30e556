"""
What faults, and what trees of hashes, cannot be joined with in one cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.config.faults import Faults
from sim.config.layouts import Aged
from sim.config.table import custom
from sim.kernels import KERNELS
from sim.paths.registry import DESIGNS
from sim.units import PAGE_BYTES, format_size

if TYPE_CHECKING:
    from sim.config.cell import CellConfig

VERITY_PATHS = ("page_io", "buffer_head")
"""Read paths of which files with fs-verity are modelled; on 7.3 page_io alone."""
METADATA_PATHS = tuple(name for name, design in DESIGNS.items() if design.maps_fail)
"""Read paths that read on where a map cannot be made."""


def check_faults(config: CellConfig, said: Faults) -> None:
    """Raise for a [faults] table where nothing can be judged, or is not modelled."""
    jobs = config.workload.jobs
    if config.data != "real" or not jobs or any(job.ddir != "read" for job in jobs):
        raise custom("faults with data off, or with what is no job that reads", 'data = "real", rw = "read"')
    if config.cache.pages != "empty" or any(job.pre_read for job in jobs):
        raise custom("faults with pages that are cached before", 'cache.pages = "empty", no pre_read')
    if config.encryption.scheme == "ecryptfs":
        raise custom("faults with encryption.scheme 'ecryptfs'", "another scheme: two caches hold a page")
    has_tags = config.volume.verity or config.checksums.layout != "none"
    if said.on == "tags" and not has_tags and config.volume.image is None:
        allowed = 'volume.verity = true, a checksums.layout, or faults.on = "data"'
        raise custom('faults.on "tags" without any', allowed)
    if said.on == "tags" and config.volume.metadata_csum:
        raise custom('faults.on "tags" with volume.metadata_csum', "false, or faults of data or metadata")
    if said.on == "metadata":
        _check_metadata(config)
    kernel = KERNELS.get(str(config.machine.kernel))
    large = config.machine.large_folios
    if large or (large is None and kernel is not None and kernel.folios_unasked):
        raise custom("faults with large folios", "machine.large_folios = false")


def _check_metadata(config: CellConfig) -> None:
    """Raise for faults of extent trees where no tree is read, or what comes of it is not modelled."""
    what = 'faults.on "metadata"'
    if config.reads_through not in METADATA_PATHS or config.mapping != "extents":
        told = f"{what} on path {config.reads_through}, mapping {config.mapping}"
        raise custom(told, f"path {', '.join(METADATA_PATHS)}, mapping extents")
    if config.cache.status != "all_cold":
        raise custom(f"{what} with cache.status {config.cache.status!r}, which reads none", '"all_cold"')
    if config.volume.verity or config.checksums.layout != "none":
        raise custom(f"{what} with volume.verity or a checksums.layout", "neither")


def check_verity(config: CellConfig) -> None:
    """Raise for fs-verity where it is not modelled."""
    what, kernel = "volume.verity", str(config.machine.kernel)
    able = [name for name, version in KERNELS.items() if version.paths.verity]
    if kernel not in able:
        raise custom(f"{what} with kernel {kernel}", f"kernel {', '.join(able)}")
    paths = VERITY_PATHS if KERNELS[kernel].paths.verity == "worker" else VERITY_PATHS[:1]
    if config.reads_through not in paths or config.mapping != "extents":
        raise custom(f"{what} on path {config.reads_through}", f"path {' or '.join(paths)}, mapping extents")
    if config.encryption.scheme != "none":
        raise custom(f"{what} with encryption.scheme {config.encryption.scheme!r}", "none")
    if any(job.ddir != "read" for job in config.workload.jobs):
        raise custom(f"{what} with jobs that write", "jobs that read: such a file cannot be written to")
    size = config.volume.block_size_bytes or 0
    if size != PAGE_BYTES and KERNELS[kernel].paths.verity == "worker":
        raise custom(f"{what} with blocks of {format_size(size)} on kernel {kernel}", "4KiB, a page")
    for file in config.volume.files:
        layout = file.layout
        holes = isinstance(layout, Aged) and (layout.hole_share or layout.unwritten_share)
        if holes or layout.kind in ("sparse", "unwritten", "hole", "fiemap", "filefrag"):
            raise custom(f"{what} with layout {layout.kind!r} that may have holes", "a layout without any")
