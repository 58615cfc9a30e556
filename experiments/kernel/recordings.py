# SPDX-License-Identifier: MIT
"""
The recordings of reads: calls and block events, instructions, instructions by symbol, digests.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from commands import RigError
from drivers import record_drivers
from images import drive_node
from machine import boot
from plan import NULL_BLK, guest_plan
from rig import Joint, Recording, Rig
from symbols import record_symbols
from volumes import RAW_KEY, Volume, check_after, layout_document, same_extents
from xfs import KernelVolume

REPETITIONS = 3
SCATTER = "echo scatter 128 > /sys/kernel/debug/readpath_truth/ctl"
"""No two pages of the cache side by side in memory: a bio's vector then holds one page, as the model says."""
# The files are read once under a mount that can be written to, and their digests taken.
DIGESTS = """
mount -t ext4 -o noatime {drive} /mnt; {key}
for file in {files}; do
  truth fiemap /mnt/$file
  digest=$(sha256sum /mnt/$file | cut -c1-64)
  echo "{{\\"file\\":\\"$file\\",\\"block_size\\":{block_size},\\"sha256\\":\\"$digest\\"}}"
done
umount /mnt
"""


@dataclass(frozen=True)
class Part:
    """
    A recording of calls as part of a boot: each of its block sizes on a null_blk of its own.

    size_mb: of a device. words: what `truth cases` is told. before: a command ahead of the first case.
    """

    recording: Recording
    volumes: Sequence[Volume | KernelVolume]
    size_mb: int
    words: str
    before: str = ""


def record_counts(rig: Rig, recording: Recording) -> None:
    """Calls and block events of the paths on ext4."""
    volumes = [rig.volume(size) for size in sizes_of(recording)]
    words = f"ext4 count=/plan/probes key={RAW_KEY.hex()}"
    record_calls(rig, "counts", [Part(recording, volumes, 256, words)])


def record_xfs(rig: Rig, recording: Recording) -> None:
    """The same of iomap on XFS, on pages that lie apart."""
    record_calls(rig, "xfs", [xfs_part(rig, recording)])


def xfs_part(rig: Rig, recording: Recording) -> Part:
    """Return the recording of iomap on XFS."""
    return Part(recording, rig.xfs_volumes(sizes_of(recording)), 512, "xfs count=/plan/probes", SCATTER)


def sizes_of(recording: Recording) -> list[int]:
    """Return the block sizes of what is open."""
    return sorted({record["block_size"] for record in recording.open.values()})


def record_calls(rig: Rig, name: str, parts: Sequence[Part]) -> None:
    """One boot: all images are copied to null_blks, then the cases of each part are run."""
    plan = {"probes": rig.probes, "ram_mb": "16"}
    copying, running, drives = ["set -e"], [], []
    for part in parts:
        running += [part.before]
        for volume in part.volumes:
            number = len(drives)
            chosen = [
                record for record in part.recording.open.values() if record["block_size"] == volume.block_size
            ]
            plan |= guest_plan(chosen, number)
            drives += [volume.image]
            copying += [NULL_BLK.format(number=number, size_mb=part.size_mb)]
            copying += [f"truth copy {drive_node(number)} $device; device{number}=$device"]
            running += [f"device=$device{number}; ln -sfn /sys/block/${{device#/dev/}}/queue /queue"]
            running += [f"truth cases /plan/cases{number} $device /mnt {part.words} {rig.words}"]
    plan["run"] = "\n".join([*copying, *running])
    rig.boot(name, plan, drives, Joint([part.recording for part in parts]))


def record_instructions(rig: Rig, recording: Recording) -> None:
    """A boot per block size, on the RAM disk of the module; all cases are on the same file system."""
    xfs = any(record.get("filesystem") == "xfs" for record in recording.open.values())
    for size in sizes_of(recording):
        chosen = [record for record in recording.open.values() if record["block_size"] == size]
        image = rig.xfs_volumes([size])[0].image if xfs else rig.volume(size).image
        plan = guest_plan(chosen, 0) | {"ram_mb": "512" if xfs else "256"}
        plan["run"] = "\n".join(
            [
                "set -e",
                "truth copy /dev/vda /dev/rtram",
                "ln -sfn /sys/block/rtram/queue /queue",
                *([SCATTER] if xfs else []),
                f"truth cases /plan/cases0 /dev/rtram /mnt {'xfs' if xfs else 'ext4'} time={REPETITIONS}",
            ]
        )
        name = "xfs-instructions" if xfs else "instructions"
        rig.boot(name, plan, [image], recording, icount=True)


def record_by_symbol(rig: Rig, recording: Recording) -> None:
    """A boot per volume under the plugin that counts instructions by symbol."""
    work = rig.work / "symbols"
    record_symbols(rig.kernel, rig.initramfs, work, rig.results, recording, rig.progress.say)


def record_by_driver(rig: Rig, recording: Recording) -> None:
    """The same, a boot per driver of hardware and block size."""
    work = rig.work / "drivers"
    record_drivers(rig.kernel, rig.initramfs, work, rig.results, recording, rig.progress.say)


def _is_encrypted(name: str) -> bool:
    return name.startswith("enc_")


def check_digests(rig: Rig, sizes: list[int]) -> None:
    """Let the kernel mount our images for writing, read every file, and compare digests and extents."""
    volumes = rig.volumes_with_digests(sizes)
    files = [(volume, path.lstrip("/")) for volume in volumes for path in volume.digests]
    drives, script = [], ["set -e"]
    for number, volume in enumerate(volumes):
        drive = rig.work / f"mounted-{number}.img"
        shutil.copy(volume.image, drive)
        drives.append(drive)
        names = [name for of, name in files if of is volume]
        key = f"truth addkey /mnt {RAW_KEY.hex()}" if any(map(_is_encrypted, names)) else ""
        where = drive_node(number)
        script.append(
            DIGESTS.format(drive=where, key=key, files=" ".join(names), block_size=volume.block_size)
        )
    rows: list[dict[str, Any]] = []
    extents: list[list[list[int]]] = []

    def take(document: dict[str, Any]) -> None:
        if "fiemap" in document:
            extents.append(document["extents"])
        elif "sha256" in document:
            rows.append(document)
            rig.progress.say(f"digests: block size {document['block_size']}, {document['file']}")

    plan = {"run": "\n".join(script), "ram_mb": "16"}
    boot(rig.kernel, rig.initramfs, plan, drives, rig.work / "digests", take, writable=True)
    if len(rows) != len(files):
        raise RigError(f"{len(rows)} files were read, not all {len(files)}")
    for row, found, (volume, _) in zip(rows, extents, files, strict=True):
        row["ours_sha256"] = volume.digests[f"/{row['file']}"]
        row["encrypted"] = _is_encrypted(row["file"])
        row["same_digest"] = row["sha256"] == row["ours_sha256"]
        row["same_extents"] = same_extents(layout_document(volume, row["file"])["extents"], found)  # type: ignore[arg-type]
    for drive in drives:
        check_after(drive)
        drive.unlink()
    (rig.results / "digests.json").write_text(json.dumps(rows, indent=1) + "\n")
    bad = [row["file"] for row in rows if not (row["same_digest"] and row["same_extents"])]
    if bad:
        raise RigError(f"the kernel reads other bytes or extents than we wrote: {', '.join(bad)}")
    rig.progress.say(
        f"digests: {len(rows)} files read by the kernel, all as we wrote them; e2fsck clean before and after"
    )
