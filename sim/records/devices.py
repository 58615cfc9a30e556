"""
Devices of recordings: which there are, by the name in a record's `device`, and what their queues allow.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from sim.block.device.profile import COPIES, DeviceProfile
from sim.block.queue.limits import QueueLimits
from sim.errors import ConfigError
from sim.units import KIB, SECTOR_BYTES

NULL_BLK: Final = "null_blk"
VIRTIO_BLK: Final = "virtio-blk"
NVME: Final = "nvme"
EMULATED: Final = {
    VIRTIO_BLK: QueueLimits(2560, 254, 256, "none", driver="virtio_blk"),
    NVME: QueueLimits(1024, 127, 1023, "none", driver="nvme"),
    "virtio-scsi": QueueLimits(2560, 254, 128, "none", driver="virtio_scsi"),
    "ahci": QueueLimits(2560, 168, 32, "none", driver="ahci"),
}
"""
Limits of what QEMU 7.2 emulates, as Linux 6.1 takes them, by name.

Segments: virtio's seg_max of QEMU (256 - 2), NVME_MAX_SEGS, AHCI_MAX_SG. Sectors: 1280 KiB
(BLK_DEF_MAX_SECTORS), NVMe 512 KiB (mdts 7).
"""
RAM: Final = ("gtram", "rtram")
"""The rigs' RAM devices, which take bios and copy."""

_NAMES: Final = (NULL_BLK, *EMULATED, *RAM)
_NAMED: Final = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, _NAMES))})(?![\w-])")


def device_name(record: dict[str, Any], at: str) -> str:
    """Return the name that a record's `device` holds; ConfigError at `at` if it holds none, or two."""
    said = str(record["device"])
    found = sorted(set(_NAMED.findall(said)))
    if len(found) != 1:
        raise ConfigError(
            f"{at}: device", f"{said!r} names {len(found)} devices", f"one of {', '.join(_NAMES)}"
        )
    return str(found[0])


def case_limits(record: dict[str, Any], null_blk: DeviceProfile) -> QueueLimits:
    """
    Return the queue limits of a recording's device, from its name and settings.

    null_blk: its profile, which is that of the recordings.
    """
    name = device_name(record, str(record.get("case")))
    if name in RAM:
        return QueueLimits(1 << 20, 1 << 16, 1 << 16, bio_based=True, driver="brd", copies=COPIES["ramdisk"])
    has = null_blk.limits
    ours = QueueLimits(
        has.max_sectors,
        has.max_segments,
        has.queue_depth,
        has.scheduler,
        driver=has.driver,
        copies=null_blk.copies,
    )
    limits = EMULATED.get(name, ours)
    kib = record.get("max_sectors_kb")
    return replace(
        limits,
        max_sectors=limits.max_sectors if kib is None else int(kib) * KIB // SECTOR_BYTES,
        scheduler=str(record.get("scheduler", limits.scheduler)),
    )
