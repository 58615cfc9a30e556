# SPDX-License-Identifier: MIT
"""
From what the guest saw of a write case to its record: what lies where a bio goes, sums by phase.
"""

from __future__ import annotations

import bisect
from collections import Counter
from typing import Any

from cases import Record

from sim.units import SECTOR_BYTES

Bio = list[Any]
"""[phase, sector, sectors, flags, who, class]; a seventh: so many in a row, each where the last ended."""

FLAG_WRITE = 4
FLAG_DELAYED = 0x4
"""A FIEMAP flag: the extent has no place yet."""
FLUSH, OTHER = "f", "m"
DEVICES = {
    "nullb": "null_blk, memory-backed, blk-mq, 1 queue of depth 128, irqmode softirq, "
    "volatile write cache 96 MiB with FUA, max_sectors 1280",
    "nullb-nocache": "the same without a write cache",
    "virtio": "virtio-blk, write cache, no FUA",
    "loop": "loop over a file on tmpfs",
    "wtram": "bio-based RAM disk, inline completion, no write cache",
}


class Places:
    """What lies at a sector of a volume (an entry of volumes.json) with these files (FIEMAP)."""

    def __init__(self, volume: dict[str, Any], files: list[dict[str, Any]]) -> None:
        sectors = volume["block_size"] // SECTOR_BYTES
        rows = [(at * sectors, (at + n) * sectors, code) for at, n, code in _metadata(volume)]
        for file in files:
            for _, physical, length, flags in file["extents"]:
                if file["tag"] != "dir" and physical and not flags & FLAG_DELAYED:
                    rows.append((physical // SECTOR_BYTES, (physical + length) // SECTOR_BYTES, "d"))
        self._rows: list[tuple[int, int, str]] = []
        for start, end, code in sorted(rows):
            last = self._rows[-1] if self._rows else (0, -1, "")
            if last[2] == code and start <= last[1]:
                self._rows[-1] = (last[0], max(end, last[1]), code)
            else:
                self._rows.append((start, end, code))
        self._starts = [row[0] for row in self._rows]

    def of(self, sector: int, sectors: int) -> str:
        """Return the class of a bio: results/kernel/README.md lists them."""
        if not sectors:
            return FLUSH
        at = bisect.bisect_right(self._starts, sector) - 1
        near = self._rows[max(at - 3, 0) : at + 1]
        return next((code for start, end, code in near if start <= sector < end), OTHER)


def _metadata(volume: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Return [first block, blocks, class]."""
    table = volume["inodes_per_group"] * volume["inode_bytes"] // volume["block_size"]
    rows = [(at, 1, "s") for at in (volume["first_data_block"], *volume["backups"])]
    rows += [(at + 1, volume["descriptor_blocks"], "g") for at, _, _ in rows]
    rows += [(group["bitmap"], 1, "b") for group in volume["groups"]]
    rows += [(group["inode_bitmap"], 1, "i") for group in volume["groups"]]
    rows += [(group["table"], table, "t") for group in volume["groups"]]
    return rows + [(first, length, "j") for first, length in volume["journal"]]


def volume_of(volumes: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an entry of volumes.json, with what it has from the one it is like."""
    own = volumes[name]
    return {**volumes[own["like"]], **own} if "like" in own else own


def finished(record: Record, raw: dict[str, Any], volumes: dict[str, Any]) -> Record:
    """Return the record of a case, of what the guest printed."""
    for file in raw["files"]:
        file["path"] = file["path"].removeprefix("/mnt")
    places = None if record["mode"] == "raw" else Places(volume_of(volumes, record["image"]), raw["files"])
    bios: list[Bio] = []
    for phase, sector, sectors, flags, who, _ in raw["bios"]:
        code = places.of(sector, sectors) if places else ("d" if sectors else FLUSH)
        bios.append([phase, sector, sectors, flags, who, code])
    return record | {
        "device_described": DEVICES[record["device"]],
        "phases": [_phase(number, phase, raw, bios) for number, phase in enumerate(raw["phases"])],
        "bios": in_runs(bios),
        "bio_count": raw["bios_all"],
        "files": raw["files"],
        "phase_names": [phase["name"] for phase in raw["phases"]],
    }


def _phase(number: int, phase: dict[str, Any], raw: dict[str, Any], bios: list[Bio]) -> dict[str, Any]:
    mine = [bio for bio in bios if bio[0] == number]
    sizes = Counter((bio[5], _way(bio), bio[2]) for bio in mine)
    requests = Counter((_way(one), one[2]) for one in raw["requests"] if one[0] == number)
    sectors: Counter[str] = Counter()
    for bio in mine:
        sectors[bio[5] + _way(bio)] += bio[2]
    made = {
        "name": phase["name"],
        "counts": phase["counts"],
        "blk": raw["blk"][number],
        "sectors": dict(sorted(sectors.items())),
        "bio_sizes": {f"{code}{way}{size}": n for (code, way, size), n in sorted(sizes.items())},
        "request_sizes": {f"{way}{size}": n for (way, size), n in sorted(requests.items())},
    }
    return made | ({"requests_truncated": True} if raw["requests_all"] > len(raw["requests"]) else {})


def _way(event: list[Any]) -> str:
    return "w" if event[3] & FLAG_WRITE else "r"


def in_runs(bios: list[Bio]) -> list[Bio]:
    """Return bios of which those that each begin where the one before ended, and are alike, are one row."""
    runs: list[Bio] = []
    for bio in bios:
        last = runs[-1] if runs else None
        if last and last[0] == bio[0] and last[2:6] == bio[2:6] and bio[2]:
            length = last[6] if len(last) > 6 else 1
            if last[1] + length * last[2] == bio[1]:
                last[6:] = [length + 1]
                continue
        runs.append(list(bio))
    return runs
