"""
Recorded kernel cases: read them, and do the same work in the simulator.

A record is one line of a counts file (see results/kernel/README.md): block size, path, layout, access
pattern, state of the extent status cache, and the calls per kernel symbol. The layout is a FIEMAP list.

FIEMAP does not tell where the blocks of the extent tree lie; kernel_compare.infer_tree_pages helps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.block.device import make_device
from sim.block.device_profile import DeviceProfile, load_device_profile
from sim.block.limits import BlockTracer, QueueLimits
from sim.cache.filemap import OpenFile
from sim.engine.costs import CostTable
from sim.engine.cpu import Task
from sim.errors import ConfigError
from sim.experiment.machine import NO_IO, Machine, MachineSpec
from sim.ext4.extents import Extent, ExtentTree, normalise, plan_tree
from sim.paths.inode import FsInode
from sim.units import KIB, PAGE_BYTES

PATH_NAMES = {"buffer": "buffer_head", "mpage": "mpage", "ext4": "page_io", "iomap": "iomap", "nop": NO_IO}
STATUS_NAMES = ("warm", "es_cold", "all_cold")
FIEMAP_UNWRITTEN = 0x800


@dataclass(frozen=True, slots=True)
class Case:
    """A record with its layout: extents in blocks."""

    record: dict[str, Any]
    extents: list[Extent]

    @property
    def name(self) -> str:
        """The record's own name."""
        return str(self.record["case"])

    @property
    def quiet(self) -> bool:
        """Whether all bios of the recording were reads, so that system-wide counters are this case's."""
        blk = self.record["blk"]
        return bool(blk["bio_queue"] == sum(blk["bio_sectors_hist"].values()))


def load_cases(counts: Path, layouts: Path) -> list[Case]:
    """
    Return the cases of a counts file (JSON lines), with layouts from a folder.

    Raises ConfigError for a file that is not readable or not of this form.
    """
    lines = enumerate(read_lines(counts), start=1)
    return [load_case(record, layouts, f"{counts}:{number}") for number, record in lines]


def load_case(record: dict[str, Any], layouts: Path, at: str) -> Case:
    """Return a record with its layout, from a folder; `at` names it in errors (ConfigError)."""
    try:
        layout = json.loads(_read(layouts / record["layout_file"]))
        if isinstance(layout, list):  # FIEMAP alone, without the head that names the file system
            layout = {"block_size": record["block_size"], "extents": layout}
        block_size = int(layout["block_size"])
        extents = [
            Extent(
                logical // block_size,
                physical // block_size,
                length // block_size,
                bool(flags & FIEMAP_UNWRITTEN),
            )
            for logical, physical, length, flags in layout["extents"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            at, f"is not a recorded case ({error!r})", "see results/kernel/README.md"
        ) from error
    return Case(record, extents)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file. Raises ConfigError with the line that is none."""
    objects = []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}:{number}", f"is not JSON ({error})", "one object a line") from error
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}:{number}", "is not an object", "one object a line")
        objects.append(entry)
    return objects


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})", "a recorded file") from error


def case_limits(device: str, null_blk: DeviceProfile) -> QueueLimits:
    """
    Return the queue limits of a recording's device, from its description.

    null_blk: those of its profile, which is that of the recordings. virtio-blk: QEMU gives it a queue per
    CPU, hence no elevator; 254 segments, 1280 KiB. gtram: the rig's bio-based RAM device.
    """
    if "virtio" in device:
        return QueueLimits(2560, 254, 256, "none", driver="virtio_queue_rq")
    if "gtram" in device:
        return QueueLimits(1 << 20, 1 << 16, 1 << 16, bio_based=True, driver="brd_submit_bio")
    has = null_blk.limits
    return QueueLimits(has.max_sectors, has.max_segments, has.queue_depth, has.scheduler, driver=has.driver)


def case_tree(case: Case, tree_pages: int | None) -> ExtentTree:
    """Return the tree the kernel built, its blocks in `tree_pages` pages beyond the data (None: one each)."""
    block_size = int(case.record["block_size"])
    plan = plan_tree(normalise(case.extents), block_size)
    per_page = PAGE_BYTES // block_size
    count = plan.blocks_needed
    pages = min(max(tree_pages or count, -(-count // per_page)), count)
    end = max((extent.physical + extent.length for extent in plan.extents), default=0)
    base = (end // per_page + 2) * per_page
    numbers, at_page = [], [0] * max(pages, 1)
    for i in range(count):
        page = i * pages // count
        numbers.append(base + page * per_page + at_page[page])
        at_page[page] += 1
    return plan.tree(numbers)


def _offsets(record: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) in bytes of the recorded access pattern."""
    access, size = str(record["access"]), int(record["file_bytes"])
    if access in ("seq128k", "seq4k"):
        step = 128 * KIB if access == "seq128k" else 4 * KIB
        for offset in range(0, size, step):
            yield offset, step
    elif access in ("rand4k", "rand4k_advrandom"):
        for page in page_order(size // PAGE_BYTES)[: int(record["pages_read"])]:
            yield page * PAGE_BYTES, PAGE_BYTES
    else:
        raise ConfigError(
            str(record["case"]), f"access {access!r}", "seq128k, seq4k, rand4k, rand4k_advrandom"
        )


def page_order(pages: int) -> list[int]:
    """Return the rig's random order: a Fisher-Yates shuffle on a 32-bit xorshift from 12345."""
    order = list(range(pages))
    x = 12345
    for i in range(pages - 1, 0, -1):
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        j = x % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def run_case(
    case: Case,
    costs: CostTable,
    tree_pages: int | None = None,
    tracer: BlockTracer | None = None,
    device: str = "",
) -> Machine:
    """
    Simulate a case and return the machine with its counts; `tracer` sees its block events.

    device: "ram+copy" (the rig's bio-based RAM device) or "null_blk", with what they copy counted; "": as the
    record says.
    """
    record = case.record
    if record["path"] not in PATH_NAMES:
        raise ConfigError(case.name, f"path {record['path']!r}", ", ".join(PATH_NAMES))
    if record["es"] not in STATUS_NAMES:
        raise ConfigError(case.name, f"es {record['es']!r}", ", ".join(STATUS_NAMES))
    block_size = int(record["block_size"])
    null_blk = load_device_profile("null_blk")  # no device has less latency: what the counts need
    limits = case_limits("gtram" if device.startswith("ram") else str(record.get("device", device)), null_blk)
    if device in ("ram+copy", "null_blk"):
        limits = replace(limits, copy_ps_per_sector=1)  # whose cost is what is looked for; it must be counted
    spec = MachineSpec(
        PATH_NAMES[record["path"]],
        block_size,
        limits,
        costs,
        ra_pages=int(record.get("read_ahead_kb", 128)) * KIB // PAGE_BYTES,
        tracer=tracer,
    )
    machine = Machine(spec, lambda clock: make_device(clock, null_blk))
    tree = case_tree(case, tree_pages)
    encrypted = str(record.get("encryption", "")).startswith("fscrypt")
    inode = FsInode(tree, int(record["file_bytes"]), block_size, encrypted)
    if record["es"] == "warm":
        inode.map.status.fill()
    if record["es"] != "all_cold":
        machine.buffers.warm(tree.blocks)
    file = machine.open(machine.mapping(inode), inode, random=record["access"] == "rand4k_advrandom")
    task = machine.cpu.task(0, "reader")

    def reader(task: Task, file: OpenFile) -> Iterator[Any]:
        for offset, length in _offsets(record):
            yield from machine.filemap.read(task, file, offset, length)
        yield from task.settle()

    machine.clock.process(reader(task, file))  # type: ignore[arg-type]
    machine.clock.run()
    machine.check_quiet(file.mapping)
    return machine
