"""
What kernels spent, in instructions: recorded cases by name, and the case that is a cell of an experiment.

A cell is a recorded case if it does the same on the same: one reader, from front to back, of one file that is
known and not cached, on the RAM disk with its limits. Layouts are the same to their lengths, not to their
places. Left out: other ways of reading, whose offsets no fio job has.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from sim.kernels import KERNELS
from sim.paths.registry import DESIGNS
from sim.records.json_lines import read_lines
from sim.records.versions import kernel_of_folder
from sim.shipped import here_or_shipped
from sim.units import KIB

KERNEL: Final = Path("results/kernel")
FILE: Final = "matrix-instructions.jsonl"
_ACCESS: Final = {128 * KIB: "seq128k", 4 * KIB: "seq4k"}
_RA_KB: Final = 128


def per_page(name: str) -> float | None:
    """Return the instructions per page of VERSION/CASE; None for one that is not recorded."""
    version, _, case = name.partition("/")
    return next((_per_page(record) for record in _records(version) if record["case"] == case), None)


def of_cell(config: Mapping[str, Any]) -> float | None:
    """Return the instructions per page of the case that a cell's canonical configuration is, or None."""
    wanted = _case(config)
    if wanted is None:
        return None
    for version in _versions(config["machine"]["kernel"]):
        for record in _records(version):
            if all(record.get(key, False) == value for key, value in wanted.items()) and _is_plain(record):
                return _per_page(record)
    return None


def _case(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a record of a cell has in its fields; None for a cell that no record can be of."""
    machine, volume, kernel = config["machine"], config["volume"], config["machine"]["kernel"]
    design, layout = DESIGNS.get(str(config["path"])), _layout(config)
    if kernel not in KERNELS or design is None or not design.recorded_as or layout is None:
        return None
    jobs: list[Mapping[str, Any]] = config["workload"]["jobs"] or []
    device = dict(config["device"])
    if len(jobs) != 1 or not _is_front_to_back(jobs[0]) or device.pop("profile") != "ramdisk":
        return None
    usual = config["encryption"]["scheme"] == "none" and config["cache"]["pages"] == "empty"
    if not usual or config["mapping"] != "extents" or any(value is not None for value in device.values()):
        return None
    unasked = KERNELS[kernel].folios_unasked and kernel in design.large_folios
    return {
        "block_size": volume["block_size_bytes"],
        "path": design.recorded_as,
        "layout": layout,
        "access": _ACCESS.get(jobs[0]["bs_bytes"]),
        "es": config["cache"]["status"],
        "file_bytes": volume["files"][0]["size_bytes"],
        "large_folios": unasked if machine["large_folios"] is None else machine["large_folios"],
        "read_ahead_kb": _RA_KB,
    }


def _layout(config: Mapping[str, Any]) -> str | None:
    """Return what the rig calls the layout of the only file, None for one that it has not."""
    volume = config["volume"]
    if volume["image"] is not None or len(volume["files"] or ()) != 1:
        return None
    layout = volume["files"][0]["layout"]
    if layout["kind"] == "contiguous":
        return "contig"
    if layout["kind"] != "fragmented":
        return None
    blocks = layout["extent_blocks"] or (layout["extent_bytes"] or 0) / volume["block_size_bytes"]
    return f"frag{blocks:g}"


def _is_front_to_back(job: Mapping[str, Any]) -> bool:
    """Return whether a job reads its file once, in order, without telling the kernel of it."""
    once = job["loops"] == job["numjobs"] == 1 and not job["offset_bytes"] and not job["time_based"]
    whole = all(
        job[key] is None
        for key in ("size_bytes", "size_percent", "io_size_bytes", "bs_range_bytes", "bs_split")
    )
    return job["rw"] == "read" and str(job["fadvise_hint"]) == "0" and once and whole


def _is_plain(record: Mapping[str, Any]) -> bool:
    """Return whether a record has nothing special: "small" only tells that large folios are off."""
    return str(record["case"]).split("/")[6:] in ([], ["small"])


def _per_page(record: Mapping[str, Any]) -> float:
    return float(record["t_median"]) / float(record["pages_read"])


@cache
def _records(version: str) -> tuple[dict[str, Any], ...]:
    file = here_or_shipped(KERNEL / version / FILE)
    return tuple(read_lines(file)) if file.is_file() else ()


@cache
def _versions(kernel: str) -> tuple[str, ...]:
    """Return the folders of recordings of a kernel."""
    folders = sorted(path.name for path in here_or_shipped(KERNEL).glob("linux-*") if path.is_dir())
    return tuple(name for name in folders if kernel_of_folder(name).rpartition(".")[0] == kernel)
