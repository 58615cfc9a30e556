"""
All drivers.
"""

from __future__ import annotations

from typing import Final

from sim.block.drivers.memory import BRD, NULL_BLK
from sim.block.drivers.nvme import NVME
from sim.block.drivers.scsi import AHCI, VIRTIO_SCSI
from sim.block.drivers.virtio import VIRTIO_BLK

DRIVERS: Final = {
    "nvme": NVME,
    "virtio_blk": VIRTIO_BLK,
    "virtio_scsi": VIRTIO_SCSI,
    "ahci": AHCI,
    "null_blk": NULL_BLK,
    "brd": BRD,
}
"""By the name of the kernel module."""
