"""
Recorded kernel cases: read them, and do the same work in the simulator.

A record is one line of a counts file (see results/kernel/README.md and schema.json): block size, path,
layout, access pattern, what is cached beforehand, the device's settings, and the calls per kernel symbol.
The layout is a FIEMAP list; where the image was ours, it also names the blocks of the extent tree. For the
others, kernel_compare.infer_tree_pages helps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim.block.device.make import make_device
from sim.block.device.profile import COPIES, DeviceProfile, load_device_profile
from sim.block.queue.limits import BlockTracer, QueueLimits
from sim.cache.pages import Mapping
from sim.crypto.ecryptfs import HEADER_BYTES
from sim.engine.costs import CostTable
from sim.engine.cpu import Task
from sim.errors import ConfigError
from sim.ext4.format.extents import Extent, ExtentTree, normalise, plan_tree
from sim.fs.fs_inode import FsInode
from sim.machine.initial_cache import cache_pages, pages_with_buffers
from sim.machine.machine import NO_IO, Machine, MachineSpec
from sim.records.record_schema import check_record
from sim.stack.dm_crypt import CIPHER_CALLS, CryptTable
from sim.stack.ecryptfs import OPENED_PAGES, EcryptfsInode, EcryptfsMount
from sim.units import KIB, PAGE_BYTES, SECTOR_BYTES

PATH_NAMES = {"buffer": "buffer_head", "mpage": "mpage", "ext4": "page_io", "iomap": "iomap", "nop": NO_IO}
STATUS_NAMES = ("warm", "es_cold", "all_cold")
FIEMAP_UNWRITTEN = 0x800

Layouts = dict[str, tuple[list[Extent], tuple[int, ...] | None]]
"""Layout files that were read: name -> extents in blocks, and tree blocks if known."""


@dataclass(frozen=True, slots=True)
class Case:
    """A record with its layout: extents in blocks, and the tree's blocks (None: not recorded)."""

    record: dict[str, Any]
    extents: list[Extent]
    tree_blocks: tuple[int, ...] | None = None

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
    known: Layouts = {}
    lines = enumerate(read_lines(counts), start=1)
    cases = []
    for number, record in lines:
        at = f"{counts}:{number}"
        check_record(record, at)
        cases.append(load_case(record, layouts, at, known))
    return cases


def load_case(record: dict[str, Any], layouts: Path, at: str, known: Layouts | None = None) -> Case:
    """
    Return a record with its layout, from a folder; `at` names it in errors (ConfigError).

    known: layouts read before, by name; what is read is added.
    """
    known = {} if known is None else known
    try:
        name = str(record["layout_file"])
        if name not in known:
            known[name] = _layout(json.loads(_read(layouts / name)), int(record["block_size"]))
        extents, tree_blocks = known[name]
        if _is_ecryptfs(record) and not extents:
            extents = [_lower_extent(record, int(record["block_size"]))]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            at, f"is not a recorded case ({error!r})", "see results/kernel/README.md"
        ) from error
    return Case(record, extents, tree_blocks)


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


def _lower_extent(record: dict[str, Any], block_size: int) -> Extent:
    """
    Return where an eCryptfs case's lower file lies: in one extent, which FIEMAP did not show through it.

    Its first bio tells where, for it reads behind the pages that the open brought.
    """
    bios = record["blk"]["first_bios"]
    first = (
        bios[0][0] // (block_size // SECTOR_BYTES) - OPENED_PAGES * PAGE_BYTES // block_size if bios else 0
    )
    return Extent(0, first, (int(record["file_bytes"]) + HEADER_BYTES) // block_size, False)


def _layout(layout: Any, block_size: int) -> tuple[list[Extent], tuple[int, ...] | None]:
    """Return the extents of a layout file, in blocks, and its tree blocks."""
    if isinstance(layout, list):  # FIEMAP alone, without the head that names the file system
        layout = {"block_size": block_size, "extents": layout}
    size = int(layout["block_size"])
    extents = [
        Extent(logical // size, physical // size, length // size, bool(flags & FIEMAP_UNWRITTEN))
        for logical, physical, length, flags in layout["extents"]
    ]
    tree_blocks = layout.get("tree_blocks")
    return extents, None if tree_blocks is None else tuple(tree_blocks)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(str(path), f"cannot be read ({why})", "a recorded file") from error


EMULATED: Final = {
    "virtio-blk": QueueLimits(2560, 254, 256, "none", driver="virtio_blk"),
    "nvme": QueueLimits(1024, 127, 1023, "none", driver="nvme"),
    "virtio-scsi": QueueLimits(2560, 254, 128, "none", driver="virtio_scsi"),
    "ahci": QueueLimits(2560, 168, 32, "none", driver="ahci"),
}
"""
Limits of what QEMU 7.2 emulates, as Linux 6.1 takes them, by a part of the record's `device`.

Segments: virtio's seg_max of QEMU (256 - 2), NVME_MAX_SEGS, AHCI_MAX_SG. Sectors: 1280 KiB
(BLK_DEF_MAX_SECTORS), NVMe 512 KiB (mdts 7).
"""


def case_limits(record: dict[str, Any], null_blk: DeviceProfile) -> QueueLimits:
    """
    Return the queue limits of a recording's device, from its description and settings.

    null_blk: those of its profile, which is that of the recordings. EMULATED: those of QEMU's.
    gtram, rtram: the rigs' bio-based RAM devices.
    """
    device = str(record["device"])
    for name, limits in EMULATED.items():
        if name in device:
            return limits
    if "gtram" in device or "rtram" in device:
        return QueueLimits(1 << 20, 1 << 16, 1 << 16, bio_based=True, driver="brd", copies=COPIES["ramdisk"])
    has = null_blk.limits
    max_sectors = int(record["max_sectors_kb"]) * 2 if "max_sectors_kb" in record else has.max_sectors
    scheduler = str(record.get("scheduler", has.scheduler))
    return QueueLimits(
        max_sectors,
        has.max_segments,
        has.queue_depth,
        scheduler,
        driver=has.driver,
        copies=null_blk.copies,
    )


def case_tree(case: Case, tree_pages: int | None) -> ExtentTree:
    """
    Return the tree the kernel walked.

    Where its blocks were not recorded: the tree the kernel builds, its blocks in `tree_pages` pages beyond
    the data (None: one each).
    """
    block_size = int(case.record["block_size"])
    if case.tree_blocks is not None:
        return plan_tree(normalise(case.extents, merge=False), block_size).tree(case.tree_blocks)
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


def reads(record: dict[str, Any]) -> Iterator[tuple[int, int, int]]:
    """
    Yield (offset, length, open file) in bytes of a record's access pattern; open files count from 0.

    The recordings are made from the same list. ConfigError for a pattern that is not known.
    """
    access, size = str(record["access"]), int(record["file_bytes"])
    if access in ("seq128k", "seq4k"):
        step = 128 * KIB if access == "seq128k" else 4 * KIB
        for offset in range(0, size, step):
            yield offset, step, 0
    elif access in ("rand4k", "rand4k_advrandom"):
        for page in page_order(size // PAGE_BYTES)[: int(record["pages_read"])]:
            yield page * PAGE_BYTES, PAGE_BYTES, 0
    elif access in ("stride", "backward", "two_streams"):
        needed = {"stride": ["step_bytes"], "two_streams": ["second_offset_bytes", "open_files"]}
        for field in ("read_bytes", "reads", *needed.get(access, ())):
            if field not in record:
                raise ConfigError(
                    str(record["case"]), f"has no {field!r}", f"what {access} needs, see schema.json"
                )
        length, count = int(record["read_bytes"]), int(record["reads"])
        for number in range(count):
            if access == "stride":
                yield number * int(record["step_bytes"]), length, 0
            elif access == "backward":
                yield size - (number + 1) * length, length, 0
            else:
                start = number % 2 * int(record["second_offset_bytes"])
                yield start + number // 2 * length, length, number % 2 if record["open_files"] == 2 else 0
    else:
        raise ConfigError(
            str(record["case"]),
            f"access {access!r}",
            "seq128k, seq4k, rand4k, rand4k_advrandom, stride, backward, two_streams",
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


_ENCRYPTION = {
    "dm-crypt": re.compile(
        rf"dm-crypt ({'|'.join(CIPHER_CALLS)}) \d+-bit key, (512|4096)-byte sectors(, no_read_workqueue)?"
    ),
    "eCryptfs": re.compile(r"eCryptfs (aes-128|aes-256)"),
    "fscrypt": re.compile("fscrypt v2 AES-256-XTS"),
}


def _said(record: dict[str, Any], scheme: str) -> re.Match[str] | None:
    """Return what a record says of its encryption if that is this scheme; ConfigError if none is known."""
    said = str(record.get("encryption", ""))
    if said and not any(known.match(said) for known in _ENCRYPTION.values()):
        allowed = (
            "dm-crypt CIPHER n-bit key, n-byte sectors; eCryptfs aes-128 or aes-256; fscrypt v2 AES-256-XTS"
        )
        raise ConfigError(str(record.get("case")), f"encryption {said!r}", allowed)
    return _ENCRYPTION[scheme].match(said)


def _table(record: dict[str, Any]) -> CryptTable | None:
    """Return the crypt target that a case was recorded on, None if there was none."""
    said = _said(record, "dm-crypt")
    return CryptTable(said[1], int(said[2]), said[3] is not None) if said else None


def _mount(record: dict[str, Any]) -> EcryptfsMount | None:
    """Return the eCryptfs mount that a case was recorded on, None if there was none."""
    said = _said(record, "eCryptfs")
    return EcryptfsMount(said[1]) if said else None


def _is_ecryptfs(record: dict[str, Any]) -> bool:
    return _mount(record) is not None


def _ecryptfs(machine: Machine, record: dict[str, Any], lower: FsInode) -> EcryptfsInode:
    """Return the file on top, its lower pages in memory as recorded: all, or what the open brought."""
    inode = machine.ecryptfs_inode(int(record["file_bytes"]), lower, None)
    pages = lower.pages if record["es"] == "warm" else OPENED_PAGES
    machine.cache.insert(inode.lower.mapping, 0, pages)
    inode.lower.mapping.set_uptodate(0, pages)
    lower.map.status.fill()
    return inode


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
    machine = _machine(record, costs, tracer, device)
    tree = case_tree(case, tree_pages)
    encrypted = str(record.get("encryption", "")).startswith("fscrypt")
    size_bytes = int(record["file_bytes"]) + (HEADER_BYTES if machine.spec.ecryptfs else 0)
    inode = FsInode(tree, size_bytes, machine.spec.block_size, encrypted)
    if record["es"] == "warm":
        inode.map.status.fill()
    if record["es"] != "all_cold":
        machine.buffers.warm(tree.blocks)
    opened = _ecryptfs(machine, record, inode) if machine.spec.ecryptfs else inode
    mapping = machine.mapping(opened)
    _fill(machine, mapping, inode, record)
    listed = list(reads(record))
    if not listed:
        raise ConfigError(
            f"{case.name}: {record['access']}",
            f"no read in {record['file_bytes']} bytes",
            "at least one page",
        )
    random = record["access"] == "rand4k_advrandom" or record.get("fadvise") == "random"
    files = [machine.open(mapping, opened, random) for _ in range(1 + max(number for _, _, number in listed))]
    if record.get("fadvise") == "sequential":
        for file in files:
            file.ra_pages *= 2  # POSIX_FADV_SEQUENTIAL (mm/fadvise.c)
    task = machine.cpu.task(0, "reader")

    def reader(task: Task) -> Iterator[Any]:
        for offset, length, number in listed:
            yield from machine.filemap.read(task, files[number], offset, length)
        yield from task.settle()

    machine.clock.process(reader(task))  # type: ignore[arg-type]
    machine.clock.run()
    machine.check_quiet(mapping)
    return machine


def _machine(record: dict[str, Any], costs: CostTable, tracer: BlockTracer | None, device: str) -> Machine:
    """Return the machine of a record, with its path, its device (see run_case) and its readahead."""
    null_blk = load_device_profile("null_blk")  # no device has less latency: what the counts need
    on = record | {"device": "gtram"} if device.startswith("ram") else {"device": device} | record
    limits = case_limits(on, null_blk)
    ra_pages = int(record.get("read_ahead_kb", 128)) * KIB // PAGE_BYTES
    spec = MachineSpec(
        PATH_NAMES[record["path"]],
        int(record["block_size"]),
        limits,
        costs,
        large_folios=bool(record.get("large_folios", False)),
        ra_pages=ra_pages,
        tracer=tracer,
        dm_crypt=_table(record),
        ecryptfs=_mount(record),
    )
    return Machine(spec, lambda clock: make_device(clock, null_blk))


def _fill(machine: Machine, mapping: Mapping, inode: FsInode, record: dict[str, Any]) -> None:
    """Have in the page cache what the record says was there before the first read."""
    cache_pages(machine, mapping, inode, [(start, end) for start, end in record.get("cached_pages", ())])
    rewritten = sorted(record.get("rewritten_blocks", ()))
    if not rewritten:
        return
    per_page = PAGE_BYTES // machine.spec.block_size
    blocks_of: dict[int, list[int]] = {}
    for block in rewritten:
        blocks_of.setdefault(block // per_page, []).append(block % per_page)
    for page, blocks in blocks_of.items():
        if blocks != list(range(len(blocks))):
            where = f"{record['case']}: rewritten_blocks"
            raise ConfigError(where, f"blocks {blocks} of page {page}", "the first blocks of a page")
        pages_with_buffers(machine, mapping, inode, [(page, page + 1)], len(blocks))
