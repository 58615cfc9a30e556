# SPDX-License-Identifier: MIT
"""
Which reads through a driver of (emulated) hardware the plugin counts by symbol: virtio-blk, NVMe, and SCSI
disks behind virtio-scsi and AHCI.

A case is the record that results/kernel/symbols-schema.json describes, without what was measured. As in
symbol_cases, `guest` has the words for the program inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.units import MIB, PAGE_BYTES

Record = dict[str, Any]

FILE_BYTES = 4 * MIB
PAGES = FILE_BYTES // PAGE_BYTES
LAYOUTS = ("contig", "frag1", "frag4")
BLOCK_SIZES = (1024, 4096)
PATHS = ("buffer", "mpage", "ext4")
ACCESSES = (("contig", "seq128k"), ("contig", "rand4k"), ("frag1", "seq128k"), ("frag4", "seq128k"))


@dataclass(frozen=True)
class Driver:
    """
    A driver and the device that QEMU emulates for it.

    qemu: options; {drive} stands for the id of the drive. disk: its name inside. words: of the record.
    """

    name: str
    qemu: tuple[str, ...]
    disk: str
    words: str


DRIVERS = (
    Driver("virtio-blk", ("-device", "virtio-blk-pci,drive={drive}"), "vda", "virtio-blk (QEMU, PCI, MSI-X)"),
    Driver("nvme", ("-device", "nvme,drive={drive},serial=readpath"), "nvme0n1", "nvme (QEMU, PCI, MSI-X)"),
    Driver(
        "virtio-scsi",
        ("-device", "virtio-scsi-pci,id=host", "-device", "scsi-hd,bus=host.0,drive={drive}"),
        "sda",
        "sd on virtio-scsi (QEMU, PCI, MSI-X)",
    ),
    Driver(
        "ahci",
        ("-device", "ich9-ahci,id=host", "-device", "ide-hd,bus=host.0,drive={drive}"),
        "sda",
        "sd on ahci, NCQ (QEMU ICH9, MSI)",
    ),
)


def driver_cases() -> list[Record]:
    """Return all cases, each with the name of its volume, which is that of its boot."""
    return [
        _read(driver, block_size, path, layout, access)
        for driver in DRIVERS
        for block_size in BLOCK_SIZES
        for path in PATHS
        for layout, access in ACCESSES
    ]


def volume_name(driver: Driver, block_size: int) -> str:
    """Return the name of a boot: a driver on an image of a block size."""
    return f"{driver.name}-bs{block_size}"


def _read(driver: Driver, block_size: int, path: str, layout: str, access: str) -> Record:
    return {
        "case": f"{driver.name}/bs{block_size}/{path}/{layout}/{access}/warm",
        "what": "read",
        "block_size": block_size,
        "path": path,
        "layout": layout,
        "access": access,
        "es": "warm",
        "file_bytes": FILE_BYTES,
        "pages_read": PAGES if access == "seq128k" else PAGES // 4,
        "layout_file": f"drivers_bs{block_size}_{layout}.json",
        "device": f"{driver.words}, sched none",
        "volume": volume_name(driver, block_size),
        "guest": {
            "op": "read",
            "held": 1,
            "drop": "pages",
            "rounds": 3,
            "ops": "" if path == "ext4" else path,
            "paths": [f"/mnt/{layout}"],
        },
    }
