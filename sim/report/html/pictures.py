"""
The figures of a run in a page: matplotlib's SVG made part of it, each with what it shows in words.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from sim.experiment.results import Run
from sim.report.figures import draw
from sim.report.html.elements import Html, scrolled, tag

SHOWS = {
    "cpu_per_4k": "CPU time per 4 KiB of each cell, stacked by cost group",
    "overhead_map": "Cost of buffer heads over that of an extent path, by block size and layout: above 1 the"
    " extent path wins, below 1 it loses",
    "map_calls": "Calls of ext4_map_blocks per block, by path and layout",
    "folios": "Cost, map calls, bios and buffer heads per 4 KiB over layouts: what large folios win and lose",
    "device_bound": "Elapsed time, share of CPU and ratio, by device",
    "readahead": "CPU time and throughput over the readahead window",
    "concurrency": "CPU time and throughput over the number of readers",
    "file_size": "CPU time and throughput over the size of the file",
    "memory": "Bytes of buffer heads per cached page",
    "encryption": "What schemes of encryption cost: CPU, latency and memory",
    "secure_delete": "Deleting a file for good: time over its size, what is written, CPU, and what is left",
    "journal_modes": "Bytes to the device per byte written and the time of a sync, by data= mode",
    "crash": "How many of a disk's states after a power cut break a promise, by cell",
    "corruption": "Reads of a broken device that were refused or got wrong data, and faults nobody noticed",
    "fsync_storm": "Syncs a second, the time of one and commits per sync, over the number of writers",
    "overwrites": "What a run with one checksum makes who writes part of it read and hash, and its list",
    "copy_on_write": "Overwriting a clone and a file of its own: CPU, bytes to the device, time of a sync",
    "clone_or_copy": "Making a clone and making a copy: time, CPU and bytes to the device",
    "rewritten": "Reading a clone: CPU time and throughput over the share of it that was written over",
    "checksums": "A reader with checksums over one without: time, CPU and bytes, by where they lie",
    "integrity": "Jobs with integrity over jobs without: time, CPU and bytes, below the file system or in it",
    "allocation": "Delayed and immediate allocation: CPU time, and how often write-back looks at a page",
    "latency_cdf": "Distribution of the latency of read(2), by path",
    "stages": "The time of an I/O by stage: plug, queue, device, interrupt, decryption, waking",
}
"""Figure -> what it shows, as its caption says it and a screen reader reads it."""


def pictures(run: Run, prefix: str) -> list[Html]:
    """Return the figures that `readpath plot` draws of a run. prefix: of the ids in them, the page's own."""
    with tempfile.TemporaryDirectory(prefix="readpath-figures-") as folder:
        files = draw(run, Path(folder), ["svg"])
        texts = [(path.stem, path.read_text(encoding="utf-8")) for path in files]
    return [_figure(stem, text, f"{prefix}{stem}-", run) for stem, text in texts]


def _figure(stem: str, text: str, prefix: str, run: Run) -> Html:
    name, page = stem, ""
    if name not in SHOWS:  # pages after the first
        name, _, page = stem.rpartition("_")
    words = SHOWS[name] + (f" (page {page})" if page else "")
    alt = f"{words}. {run.manifest['title']}. The numbers are in the tables of this page."
    svg = inline(text, prefix, alt)
    return tag("figure", scrolled(words, svg, class_="scroll paper"), tag("figcaption", f"{words}."))


def inline(text: str, prefix: str, alt: str) -> Html:
    """
    Return an SVG document of matplotlib's as an element of a page.

    Ids are given the prefix, for a page has many figures and they have the same; prolog, metadata and the
    rule of style that would be the whole page's are left out.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{prefix}', body)
    body = re.sub(r'(xlink:href|href)="#', rf'\1="#{prefix}', body)
    body = body.replace("url(#", f"url(#{prefix}")
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', head)
    assert box is not None
    opened = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box[1]}" role="img"'
        f' style="width:calc(var(--zoom) * {float(box[1].split()[2]) / 72:.2f}in)"'
    )
    label = tag("svg", aria_label=alt).removeprefix("<svg").removesuffix("></svg>")
    return Html(re.sub(r">\s+<", "><", f"{opened}{label}>{rest}".strip()))
