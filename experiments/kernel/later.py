# SPDX-License-Identifier: MIT
"""
Recordings of later kernels, 6.12 and 7.3: other volumes, and what readahead does with folios.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cases import Record
from images import Making
from kernels import Kernel
from machine import HERE
from made_volumes import BLOCKS, FEATURES, VERITY, made_volume, making
from recordings import Part, record_calls, sizes_of, xfs_part
from rig import Progress, Recording, Rig
from volumes import RAW_KEY, Volume, layout_document
from xfs import KernelVolume, kernel_document

ENCRYPTED = "enc"
COUNTING = "ext4 count=/plan/probes"


class LaterRig(Rig):
    """The rig of a later kernel: images of its own, for a kernel makes some of them."""

    kind = "plain"
    own_images = True
    module = "log_folios=1"
    words = "folios"

    def __init__(self, kernel: Kernel, progress: Progress, results: Path) -> None:
        super().__init__(kernel, progress, results)
        self._wanted: dict[str, list[int]] = {}

    def needs(self, kind: str, recording: Recording) -> None:
        """Note which images a recording needs, if the kernel makes them."""
        if kind in MADE:
            self._wanted[MADE[kind]] = sizes_of(recording)

    @property
    def probes(self) -> str:
        """Return what is counted."""
        return super().probes + (HERE / "guest" / "probes-later").read_text()

    def volumes_with_digests(self, block_sizes: list[int]) -> list[Volume]:
        """Return the plain and the encrypted volumes."""
        return [self.volume(size, kind) for size in block_sizes for kind in (self.kind, ENCRYPTED)]

    def made(self, kind: str, block_size: int) -> KernelVolume:
        """Return an image that mke2fs and the kernel make."""
        self.make(kind, [block_size])
        return made_volume(kind, block_size, self.images)

    def making(self, kind: str, block_size: int) -> Making | None:
        """Return how an image is made by the kernel, None if it is there."""
        if kind in FEATURES:
            return making(kind, block_size, self.images)
        return super().making(kind, block_size)

    def make_all(self) -> None:
        """Let the kernel make the images that recordings need and that are not there, in one boot."""
        with self._making:
            self.make_missing(
                [self.making(kind, size) for kind, sizes in self._wanted.items() for size in sizes]
            )

    def finish(self, record: dict[str, Any]) -> None:
        """Write a record's layout beside it; say which kernel it is of."""
        record["kernel"] = self.kernel.version.removeprefix("linux-")
        super().finish(record)

    def is_ours(self, record: Record) -> bool:
        """Return whether our image writer made the image."""
        return super().is_ours(record) and _group(record) not in (BLOCKS, VERITY)

    def layout(self, record: Record) -> dict[str, object]:
        """Return the layout of a record's file."""
        group, size, name = _group(record), record["block_size"], record["layout"]
        if group in (BLOCKS, VERITY):
            return kernel_document(self.made(group, size), name)
        if group == ENCRYPTED:
            return layout_document(self.volume(size, ENCRYPTED), f"enc_{name}")
        return super().layout(record)


def _group(record: Record) -> str:
    """Return what begins the record's tag: plain, enc, big, verity, xfs, icount."""
    return str(record["tag"]).partition("_")[0]


def plain_part(rig: LaterRig, recording: Recording) -> Part:
    """Calls, block events and folios of ext4's paths."""
    return Part(recording, [rig.volume(size) for size in sizes_of(recording)], 256, COUNTING)


def encrypted_part(rig: LaterRig, recording: Recording) -> Part:
    """The same of encrypted files."""
    volumes = [rig.volume(size, ENCRYPTED) for size in sizes_of(recording)]
    return Part(recording, volumes, 256, f"{COUNTING} key={RAW_KEY.hex()}")


def blocks_part(rig: LaterRig, recording: Recording) -> Part:
    """The same of blocks that are larger than a page."""
    return Part(recording, [rig.made(BLOCKS, size) for size in sizes_of(recording)], 256, COUNTING)


def verity_part(rig: LaterRig, recording: Recording) -> Part:
    """The same of files with fs-verity."""
    return Part(recording, [rig.made(VERITY, size) for size in sizes_of(recording)], 256, COUNTING)


PARTS: dict[str, Callable[[LaterRig, Recording], Part]] = {
    "counts": plain_part,
    "blocks": blocks_part,
    "fscrypt": encrypted_part,
    "verity": verity_part,
    "xfs": xfs_part,
}
"""Recordings of calls."""
ALONE = ("xfs",)
"""
Not with others in a boot: it scatters the free memory, and its first case then had a plug flushed once more
than in a boot of its own, in four of six boots that had run `counts` before.
"""
MADE: dict[str, str] = {"blocks": BLOCKS, "verity": VERITY, "xfs": "xfs"}
"""Recording: the kind of its images, where the kernel makes them."""


def record_parts(rig: LaterRig, recordings: Mapping[str, Recording]) -> None:
    """Record what each kind has open, in one boot, after another that makes all images that are missing."""
    rig.make_all()
    parts = [part(rig, recordings[kind]) for kind, part in PARTS.items() if kind in recordings]
    record_calls(rig, "+".join(recordings), parts)
