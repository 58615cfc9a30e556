# SPDX-License-Identifier: MIT
"""
The plan of a boot of user-mode Linux: its text, and what the numbers in it stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from cases import Record
from volumes import Volume

from sim.records.kernel_case import reads

LOOPS = {
    "file": [
        ("map_blocks", 0, "warm"),
        ("get_block", 0, "warm"),
        ("get_block", 0, "es_cold"),
        ("find_extent", 0, "warm"),
    ],
    "once": [
        *(("hit", size, "warm") for size in (131072, 4096)),
        *(("inval", buffers, "warm") for buffers in (0, 1)),
        *(("bio", pages, "warm") for pages in (1, 32)),
        *((what, 0, "warm") for what in ("bhalloc", "memcpy", "memset", "pgalloc", "clock")),
        *(("xts", size, "warm") for size in (512, 1024, 2048, 4096)),
    ],
}  # fmt: skip
"""Primitives in hot loops (see native/loops.h): for every layout, and once a volume."""
STATUS = {"warm": "warm", "es_cold": "cold"}
WRITE_MODES = {
    "od": "data=ordered",
    "on": "data=ordered,nodelalloc",
    "wn": "data=writeback,nodelalloc",
    "j": "data=journal",
}
"""How a volume that is written to is mounted, by the letters of the write recordings."""
WRITTEN_BY = {"od": ("own", "mpage", "bwfp"), "on": ("own",), "wn": ("own", "bwfp2", "mpage2"), "j": ("own",)}
"""The designs that each of them is timed with (module/write_operations.h)."""
WRITTEN = {"seq4k-64k": (4096, 65536), "seq4k-1m": (4096, 1048576), "seq128k-1m": (131072, 1048576)}
"""Passes, one after another from the file's beginning: bytes a call, bytes in all."""
OF_ANOTHER = ",commit=600,no_prefetch_block_bitmaps"
"""No commit but fsync(2)'s."""


def write_cases() -> Iterator[Record]:
    """Yield what is written and synced at native speed: blocks that are there are written over."""
    for size, mode in product((1024, 2048, 4096), WRITE_MODES):
        for path, file, kind in product(WRITTEN_BY[mode], ("contig", "frag1", "frag4"), WRITTEN):
            length, total = WRITTEN[kind]
            yield {
                "case": f"native_bs{size}/{mode}/{path}/{file}/{kind}",
                "block_size": size,
                "mode": mode,
                "mount": WRITE_MODES[mode] + OF_ANOTHER,
                "path": path,
                "file": file,
                "kind": kind,
                "length": length,
                "total": total,
                "image": f"w{size}",
            }


class WritePlan:
    """Passes of writes, on a volume for every mode; `records` has by number what each of them is."""

    def __init__(self, images: Path, records: list[Record], rounds: int) -> None:
        self.records = dict(enumerate(records))
        volumes = {(r["image"], r["mode"]): r["mount"] for r in records}
        lines = [
            f"volume {of}{mode} {images.resolve()}/{of}.img {mount}" for (of, mode), mount in volumes.items()
        ]
        lines += ["copies 0", f"rounds {rounds}"]
        for kind in dict.fromkeys(record["kind"] for record in records):
            length, total = WRITTEN[kind]
            lines += [f"pattern {kind} {total // length}"]
            lines += [f"{offset} {length} 0" for offset in range(0, total, length)]
        for number, r in self.records.items():
            file = f"{r['image']}{r['mode']}/{r['file']}"
            lines += [f"write {number} {file} {r['path']} {r['kind']} warm"]
        self.text = "".join(f"{line}\n" for line in lines)


class Plan:
    """All volumes' cases and, if asked for, hot loops; `records` has by number what each of them is."""

    def __init__(
        self, volumes: list[Volume], records: list[Record], copies: bool, rounds: int, loops: bool
    ) -> None:
        self.records: dict[int, Record] = {}
        self._patterns: dict[str, str] = {}
        self._jobs: list[str] = []
        for record in records:
            self._add_case(record)
        for volume in volumes if loops else ():
            of = [record["layout"] for record in records if record["block_size"] == volume.block_size]
            for layout in dict.fromkeys(of):
                self._add_loops(volume.block_size, layout)
        head = "".join(f"volume {volume.block_size} {volume.image.resolve()}\n" for volume in volumes)
        head += f"copies {int(copies)}\nrounds {rounds}\n"
        patterns = "".join(f"pattern {name} {text}" for text, name in self._patterns.items())
        self.text = head + patterns + "".join(f"{job}\n" for job in self._jobs)

    def _add_case(self, record: Record) -> None:
        listed = [f"{offset} {length} {descriptor}\n" for offset, length, descriptor in reads(record)]
        random = " random" if record["access"].endswith("_advrandom") else ""
        name = self._patterns.setdefault(
            f"{len(listed)}{random}\n{''.join(listed)}", f"p{len(self._patterns)}"
        )
        ops = {"ext4": "own"}.get(record["path"], record["path"])
        file = f"{record['block_size']}/{record['layout']}"
        self._jobs.append(f"case {len(self.records)} {file} {ops} {name} {STATUS[record['es']]}")
        self.records[len(self.records)] = record

    def _add_loops(self, block_size: int, layout: str) -> None:
        for what, arg, es in LOOPS["file"] + (LOOPS["once"] if layout == "contig" else []):
            self._jobs.append(f"loop {len(self.records)} {block_size}/{layout} {what} {arg} {STATUS[es]}")
            record = {"block_size": block_size, "what": what, "arg": arg, "layout": layout, "es": es}
            self.records[len(self.records)] = record
