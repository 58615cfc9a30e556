# SPDX-License-Identifier: MIT
"""
Recordings of later kernels, 6.12 and 7.3: other volumes, and what readahead does with folios.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases import Record
from machine import HERE, boot
from made_volumes import BLOCKS, VERITY, made_volume
from recordings import SCATTER, record_calls
from rig import Recording, Rig
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

    @property
    def probes(self) -> str:
        """Return what is counted."""
        return super().probes + (HERE / "guest" / "probes-later").read_text()

    def volumes_with_digests(self, block_sizes: list[int]) -> list[Volume]:
        """Return the plain and the encrypted volumes."""
        return [self.volume(size, kind) for size in block_sizes for kind in (self.kind, ENCRYPTED)]

    def made(self, kind: str, block_size: int) -> KernelVolume:
        """Return an image that mke2fs and the kernel make."""

        def start(plan: dict[str, str], drives: list[Path], take: Callable[[dict[str, Any]], None]) -> None:
            self.progress.say(f"{kind}: making an image, block size {block_size}")
            work = self.work / f"{kind}-image"
            boot(self.kernel, self.initramfs, plan, drives, work, take, writable=True)

        return made_volume(kind, block_size, self.images, start)

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


def _sizes(recording: Recording) -> list[int]:
    return sorted({record["block_size"] for record in recording.open.values()})


def record_plain(rig: LaterRig, recording: Recording) -> None:
    """Calls, block events and folios of ext4's paths."""
    volumes = [rig.volume(size) for size in _sizes(recording)]
    record_calls(rig, recording, "counts", volumes, 256, COUNTING)


def record_encrypted(rig: LaterRig, recording: Recording) -> None:
    """The same of encrypted files."""
    volumes = [rig.volume(size, ENCRYPTED) for size in _sizes(recording)]
    record_calls(rig, recording, "fscrypt", volumes, 256, f"{COUNTING} key={RAW_KEY.hex()}")


def record_blocks(rig: LaterRig, recording: Recording) -> None:
    """The same of blocks that are larger than a page."""
    volumes = [rig.made(BLOCKS, size) for size in _sizes(recording)]
    record_calls(rig, recording, "blocks", volumes, 256, COUNTING)


def record_verity(rig: LaterRig, recording: Recording) -> None:
    """The same of files with fs-verity."""
    volumes = [rig.made(VERITY, size) for size in _sizes(recording)]
    record_calls(rig, recording, "verity", volumes, 256, COUNTING)


def record_xfs(rig: LaterRig, recording: Recording) -> None:
    """The same of iomap on XFS, on pages that lie apart."""
    volumes = rig.xfs_volumes(_sizes(recording))
    record_calls(rig, recording, "xfs", volumes, 512, "xfs count=/plan/probes", SCATTER)
