"""
readpath timeline: one read window on each path, drawn side by side.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import sim
from sim.engine.costs import DEFAULT_MACHINE
from sim.machine.timeline import LAYOUTS, Timeline, watch
from sim.report.panels import check_formats
from sim.report.timeline import draw_timeline
from sim.units import KIB, PAGE_BYTES, format_time, parse_size, parse_time

PATHS = ("buffer_head", "mpage", "page_io", "iomap")


def draw_timelines(
    folder: Path,
    formats: list[str],
    paths: list[str],
    block_size: str,
    pages: int,
    latency: str,
    as_json: bool,
) -> None:
    """
    Watch one window on each of `paths`, contiguous and in one-block extents; draw it into `folder`.

    Raises ReadpathError for a path, size or format that is not modelled.
    """
    check_formats(formats)
    size, latency_ns = parse_size("--block-size", block_size), parse_time("--latency", latency)
    blocks: list[list[Timeline]] = [
        [
            watch(
                path,
                layout,
                block_size=size,
                pages=pages,
                latency_ns=latency_ns,
                machine=DEFAULT_MACHINE,
            )
            for path in paths
        ]
        for layout in LAYOUTS
    ]
    many = pages * PAGE_BYTES // size
    read = f"One read(2) of {pages} pages of {size // KIB} KiB blocks"
    about = f"{read}: {many} blocks to find, fetch and complete"
    latency_word = format_time(latency_ns).replace("us", "µs")
    note = (
        f"timeline   no random numbers   machine {DEFAULT_MACHINE}   device {latency_word} a command   "
        f"readpath {sim.__version__}   lengths are exact, the order within a stretch is in outline"
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = [str(path) for path in draw_timeline(blocks, about, note, folder, formats)]
    if as_json:
        lines = [asdict(line) for block in blocks for line in block]
        print(json.dumps({"figures": files, "timelines": lines}, indent=2))
    else:
        print("\n".join(files))
