# SPDX-License-Identifier: MIT
"""
The recordings of writes: calls by phase, and every bio with what lies where it goes.

One boot per image and up to so many cases, one CPU. Each case has a device of its own with a copy of the
image. No two free pages lie side by side (`scatter`), and dirty pages are not written back unless the case
says so.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from cases import Record
from commands import RigError
from machine import HERE, boot
from rig import Recording, Rig
from write_images import DEVICE_BYTES, make_write_images, pieces_of
from write_places import finished

FOLDER = "writes"
"""Below a kernel's results."""
CASES_A_BOOT = 150
NULLB = "wtruth nullb nullb0 160 {cache} 1 && wtruth copypieces /dev/vda /dev/nullb0 /plan/pieces"
PREPARE = {
    "nullb": NULLB.format(cache=96),
    "nullb-nocache": NULLB.format(cache=0),
    "virtio": "wtruth copyall /dev/vda /dev/vdb",
    "loop": "{ losetup -d /dev/loop0; rm -f /tmp/l.img; truncate -s 160M /tmp/l.img; "
    "wtruth copypieces /dev/vda /tmp/l.img /plan/pieces; losetup /dev/loop0 /tmp/l.img; }",
    "wtram": "wtruth copyall /dev/vda /dev/wtram",
}
"""How a fresh device with the image is made, by its name."""
BEGIN = """
mkdir -p /run; mount -t tmpfs tmp /tmp
insmod /modules/writepath_truth.ko ram_mb=192
wtruth probes /plan/probes
echo 100000 > /proc/sys/vm/dirty_writeback_centisecs
echo scatter 1200 > /sys/kernel/debug/writepath_truth/ctl
"""
RUN = "{prepare}; wtruth run /plan/case{number} /plan/probes || {{ umount /mnt; umount -l /mnt; }}"


class WriteRecording(Recording):
    """The records of a folder, a file per group."""

    def __init__(self, folder: Path, wanted: list[Record]) -> None:
        self.folder = folder
        done = {
            json.loads(line)["case"]
            for file in folder.glob("*.jsonl")
            for line in file.read_text().splitlines()
        }
        self.open = {record["case"]: record for record in wanted if record["case"] not in done}
        self.total = len(wanted)

    def keep(self, record: Record) -> None:
        """Keep a finished record."""
        self.open.pop(record["case"])
        with (self.folder / f"{record['group']}.jsonl").open("a") as stream:
            stream.write(json.dumps(record, separators=(",", ":")) + "\n")


def write_plan(records: list[Record], probes: str, listed: list[int]) -> dict[str, str]:
    """Return the files below /plan that tell the guest what to do. listed: pieces of the image to copy."""
    plan = {
        f"case{number}": "\n".join([f"case {record['case']}", *record["script"]]) + "\n"
        for number, record in enumerate(records)
    }
    run = [RUN.format(prepare=PREPARE[record["device"]], number=n) for n, record in enumerate(records)]
    plan |= {"probes": probes, "ram_mb": "16", "pieces": "\n".join(map(str, listed)) + "\n"}
    return plan | {"run": "\n".join([BEGIN.strip(), *run, "exit 0"]) + "\n"}


def record_writes(rig: Rig, recording: WriteRecording) -> None:
    """Record every open case; RigError, naming some, if the guest could not make all."""
    recording.folder.mkdir(parents=True, exist_ok=True)
    images = rig.images / FOLDER
    volumes = make_write_images(images)
    _keep_volumes(recording.folder / "volumes.json", volumes)
    blank = rig.work / "blank.img"
    with blank.open("wb") as stream:
        stream.truncate(DEVICE_BYTES)
    failed: list[str] = []
    by_image = sorted(recording.open.values(), key=lambda record: str(record["image"]))
    for name, group in groupby(by_image, key=lambda record: str(record["image"])):
        records = list(group)
        for first in range(0, len(records), CASES_A_BOOT):
            chunk = records[first : first + CASES_A_BOOT]
            failed += _boot(rig, recording, chunk, images / f"{name}.img", blank, volumes)
    if recording.open:
        names = ", ".join(list(recording.open)[:3])
        raise RigError(f"writes: no record of {len(recording.open)} cases ({names}): {'; '.join(failed[:3])}")


def _boot(
    rig: Rig,
    recording: WriteRecording,
    records: list[Record],
    image: Path,
    blank: Path,
    volumes: dict[str, Any],
) -> list[str]:
    """Boot once; return what failed."""
    probes = (HERE / "guest" / "write-probes").read_text()
    failed: list[str] = []

    def take(document: dict[str, Any]) -> None:
        if "case" in document:
            record = recording.open[document["case"]]
            recording.keep(finished(record, document, volumes))
            done = recording.total - len(recording.open)
            rig.progress.say(f"writes {done}/{recording.total}  {record['case']}")
        elif "failed" in document:
            failed.append(str(document["failed"]))
        elif "probes_missing" in document:
            _keep_probes(recording.folder / "probes.txt", probes, document["probes_missing"])

    plan = write_plan(records, probes, pieces_of(image))
    first = ("-drive", f"file={image},if=virtio,format=raw,readonly=on")
    work = rig.work / f"writes-{image.stem}"
    boot(rig.kernel, rig.initramfs, plan, [blank], work, take, writable=True, devices=first, one_cpu=True)
    return failed


def _keep_volumes(file: Path, volumes: dict[str, Any]) -> None:
    """Write volumes.json; RigError if there is one that says otherwise."""
    if not file.exists():
        file.write_text(json.dumps(volumes, separators=(",", ":")) + "\n")
    elif json.loads(file.read_text()) != volumes:
        raise RigError(f"{file}: describes other images than the rig makes now; record all writes anew")


def _keep_probes(file: Path, asked: str, missing: list[str]) -> None:
    """Write down which symbols are counted; RigError if there is a file that says otherwise."""
    names = [line.split()[0] for line in asked.splitlines() if line and not line.startswith("#")]
    there = [name for name in names if name not in missing]
    if not file.exists():
        file.write_text("\n".join(there) + "\n")
    elif set(file.read_text().split()) != set(there):
        raise RigError(f"{file}: other symbols were counted than are now; record all writes anew")
