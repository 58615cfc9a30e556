# SPDX-License-Identifier: MIT
"""
Instructions by symbol of reads through drivers: one boot per driver and block size, under the plugin.

The disk is the one that QEMU emulates, without an elevator (`none`), with one hardware queue as there is one
CPU. What the kernel reads must be what we wrote. How many completions an interrupt finds depends on how fast
the emulated device is beside the emulated CPU: calls and instructions of a request do not, those of an
interrupt are to be divided by its own calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import RigError, run
from driver_cases import BLOCK_SIZES, DRIVERS, FILE_BYTES, LAYOUTS, Driver, volume_name
from kernels import Kernel
from machine import HERE, SymbolCounter, boot
from symbols import DIGEST, MOUNT, Plan, Sink, parse_windows
from volumes import document, layouts

from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.volume.scheme_image import open_image

SEED = 20261127
START = """
set -e
cat /proc/kallsyms > /dev/{kallsyms}; sync
echo none > /sys/block/{disk}/queue/scheduler
"""


def driver_image(folder: Path, block_size: int) -> tuple[Path, dict[str, str]]:
    """Return the image of a block size and the SHA-256 of each file by the path inside; made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    image, known = folder / f"drivers-bs{block_size}.img", folder / f"drivers-bs{block_size}.json"
    if not known.exists():
        files = tuple(FileSpec(f"/{name}", FILE_BYTES, layouts(block_size)[name]) for name in LAYOUTS)
        manifest = make_image(image, ImageSpec(files, block_size, seed=SEED))
        run("e2fsck", "-fn", image)
        digests = {f"/mnt{file.path}": manifest.file(file.path).sha256 for file in files}
        known.write_text(json.dumps(digests, indent=1) + "\n")
    return image, json.loads(known.read_text())


def driver_symbols(work: Path) -> Path:
    """Return the plugin's list for drivers: that of the read path, and the drivers' own functions."""
    work.mkdir(parents=True, exist_ok=True)
    listed = work / "symbols.txt"
    parts = [(HERE / "plugin" / name).read_text().rstrip("\n") for name in ("symbols.txt", "drivers.txt")]
    listed.write_text("\n".join(parts) + "\n")
    return listed


def _plan(driver: Driver, files: list[str], records: list[dict[str, Any]]) -> Plan:
    plan = Plan()
    kallsyms = "vdb" if driver.disk == "vda" else "vda"
    plan.files["ram_mb"] = "16"
    plan.script = START.format(kallsyms=kallsyms, disk=driver.disk)
    plan.script += MOUNT.format(device=f"/dev/{driver.disk}") + DIGEST.format(files=" ".join(files))
    plan.run(records)
    return plan


def record_drivers(
    kernel: Kernel, initramfs: Path, work: Path, results: Path, sink: Sink, say: Callable[[str], None]
) -> None:
    """Record the open cases of `sink`, a boot per driver and block size; `say` what was done."""
    for driver in DRIVERS:
        for block_size in BLOCK_SIZES:
            name = volume_name(driver, block_size)
            records = [record for record in sink.open.values() if record["volume"] == name]
            if not records:
                continue
            image, digests = driver_image(work.parent.parent / "images", block_size)
            counter = SymbolCounter.build(work / f"{name}-plugin", "max,-la57")
            counter = counter.with_symbols(driver_symbols(work / f"{name}-plugin"))
            windows, found = _boot(
                kernel, initramfs, work / name, image, driver, _plan(driver, list(digests), records), counter
            )
            wrong = [file for file, digest in digests.items() if found.get(file) != digest]
            if wrong:
                raise RigError(f"{name}: the kernel reads other bytes than ours: {', '.join(wrong)}")
            counted = parse_windows(counter.out.read_text())
            if sorted(windows) != list(range(len(counted))):
                raise RigError(f"{name}: {len(counted)} windows for {len(windows)} cases")
            lost = [case for number, case in windows.items() if not _whole(counted[number]["symbols"])]
            for number, case in sorted(windows.items()):
                if case in lost:
                    continue  # stays open: the next run records it
                record = sink.open[case]
                record.pop("guest"), record.pop("volume")
                _keep_layout(results, image, record)
                sink.take({"case": case} | counted[number])
            say(f"drivers: {name}: {len(found)} files as we wrote them, {len(windows)} cases")
            if lost:
                raise RigError(f"{name}: the plugin lost calls, record again: {', '.join(lost)}")


def _whole(symbols: dict[str, list[int]]) -> bool:
    """
    Tell whether a window is whole: all is read in it, so as many bios are freed as were taken.

    An interrupt between two instructions that the plugin pairs can hide a stretch of a task from it.
    """
    return symbols["bio_alloc_bioset"][0] == symbols["bio_free"][0]


def _boot(
    kernel: Kernel,
    initramfs: Path,
    work: Path,
    image: Path,
    driver: Driver,
    plan: Plan,
    counter: SymbolCounter,
) -> tuple[dict[int, str], dict[str, str]]:
    """Return the case of each window, and the digest of each file."""
    windows: dict[int, str] = {}
    digests: dict[str, str] = {}

    def take(found: dict[str, Any]) -> None:
        if "window" in found:
            windows[found["window"]] = found["case"]
        elif "sha256" in found:
            digests[found["file"]] = found["sha256"]

    disk = ["-drive", f"file={image},if=none,id=disk,format=raw,snapshot=on"]
    disk += [word.format(drive="disk") for word in driver.qemu]
    files = plan.files | {"run": plan.script}
    boot(kernel, initramfs, files, [], work, take, counter=counter, devices=disk)
    return windows, digests


def _keep_layout(results: Path, image: Path, record: dict[str, Any]) -> None:
    file = results / "layouts" / record["layout_file"]
    inode = open_image(image, None).lookup(f"/{record['layout']}")
    said = document(inode, record["block_size"], record["layout"])
    file.write_text(json.dumps(said, separators=(",", ":")) + "\n")
