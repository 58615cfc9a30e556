"""
Recorded kernel cases: read them, and do the same work in the simulator.

A record is one line of a counts file (see results/kernel/README.md and schema.json): block size, path,
layout, access pattern, what is cached beforehand, the device's settings, and the calls per kernel symbol.
The layout is a FIEMAP list; where the image was ours, it also names the blocks of the extent tree. For the
others, tree_pages.py helps.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile
from sim.block.queue.limits import BlockTracer
from sim.cache.pages import Mapping
from sim.cache.ra_log import RaLog
from sim.crypto.ecryptfs import HEADER_BYTES
from sim.engine.costs import CostTable
from sim.engine.cpu import Task
from sim.errors import ConfigError
from sim.ext4.format.extents import Extent, ExtentTree, normalise, plan_tree
from sim.fs.fs_inode import FsInode
from sim.machine.initial_cache import cache_pages, pages_with_buffers
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.paths.registry import DESIGNS
from sim.records.devices import NULL_BLK, RAM, case_limits, device_name
from sim.records.json_lines import read_lines
from sim.records.layouts import LayoutFolder, RecordedLayout
from sim.records.record_schema import check_record
from sim.records.versions import kernel_name, kernel_of_folder
from sim.stack.dm_crypt import CIPHER_CALLS, CryptTable
from sim.stack.ecryptfs import OPENED_PAGES, EcryptfsInode, EcryptfsMount
from sim.units import KIB, PAGE_BYTES, SECTOR_BYTES

PATH_NAMES = {design.recorded_as: name for name, design in DESIGNS.items() if design.recorded_as}
STATUS_NAMES = ("warm", "es_cold", "all_cold")
DEVICES = {"ram+copy": RAM[0], "null_blk": NULL_BLK}
"""Devices that a case can be simulated on, whatever it was recorded on -> their names in records."""


@dataclass(frozen=True, slots=True)
class Case:
    """A record with its layout."""

    record: dict[str, Any]
    layout: RecordedLayout

    @property
    def name(self) -> str:
        """The record's own name."""
        return str(self.record["case"])

    @property
    def digest(self) -> str:
        """A name for the file that is read: where its blocks and those of its tree lie, and its sizes."""
        layout, record = self.layout, self.record
        said = [record["block_size"], record["file_bytes"], layout.extents, layout.tree_blocks]
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()[:16]


def load_cases(counts: Path, layouts: Path, glob: str = "*") -> list[Case]:
    """
    Return the cases of a counts file (JSON lines) whose name matches `glob`, with layouts from a folder.

    Of the others no more is read than the name. Raises ConfigError for a file that is not readable or not of
    this form.
    """
    folder = LayoutFolder(layouts)
    kernel = kernel_of_folder(counts.resolve().parent.name)
    cases = []
    for number, record in enumerate(read_lines(counts), start=1):
        at = f"{counts}:{number}"
        if isinstance(name := record.get("case"), str) and not fnmatch(name, glob):
            continue
        check_record(record, at)
        record.setdefault("kernel", kernel)
        device_name(record, at)
        kernel_name(record, at)
        cases.append(load_case(record, folder, at))
        _check_work(record, at)
    return cases


def load_case(record: dict[str, Any], layouts: LayoutFolder, at: str) -> Case:
    """Return a record with its layout, from a folder; `at` names it in errors (ConfigError)."""
    try:
        block_size = int(record["block_size"])
        layout = layouts.read(str(record["layout_file"]), block_size)
        if _mount(record) is not None and not layout.extents:
            layout = replace(layout, extents=(_lower_extent(record, block_size, at),))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            at, f"is not a recorded case ({error!r})", "see results/kernel/README.md"
        ) from error
    return Case(record, layout)


def _lower_extent(record: dict[str, Any], block_size: int, at: str) -> Extent:
    """
    Return where an eCryptfs case's lower file lies: in one extent, which FIEMAP did not show through it.

    Its first bio tells where, for it reads behind the pages that the open brought.
    """
    bios = record["blk"]["first_bios"]
    first = (
        bios[0][0] // (block_size // SECTOR_BYTES) - OPENED_PAGES * PAGE_BYTES // block_size if bios else 0
    )
    if first < 0:
        raise ConfigError(f"{at}: blk.first_bios", f"sector {bios[0][0]}", "behind what the open reads")
    return Extent(0, first, (int(record["file_bytes"]) + HEADER_BYTES) // block_size, False)


def case_tree(case: Case, tree_pages: int | None) -> ExtentTree:
    """
    Return the tree the kernel walked.

    Where its blocks were not recorded: the tree the kernel builds, its blocks in `tree_pages` pages beyond
    the data (None: one each).
    """
    block_size = int(case.record["block_size"])
    extents, tree_blocks = case.layout.extents, case.layout.tree_blocks
    if tree_blocks is not None:
        return plan_tree(normalise(extents, merge=False), block_size).tree(tree_blocks)
    plan = plan_tree(normalise(extents), block_size)
    per_page = max(PAGE_BYTES // block_size, 1)
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


def _listed(record: dict[str, Any], at: str) -> list[tuple[int, int, int]]:
    """Return the reads of a record; ConfigError if there is none, or one before the file's start."""
    listed = list(reads(record))
    if not listed:
        where = f"{at}: {record['access']}"
        raise ConfigError(where, f"no read in {record['file_bytes']} bytes", "at least one page")
    if (first := min(offset for offset, _, _ in listed)) < 0:
        raise ConfigError(f"{at}: {record['access']}", f"a read at {first}", "reads within the file")
    return listed


def _check_work(record: dict[str, Any], at: str) -> None:
    """Raise ConfigError unless the reads, and what is cached before them, lie within the file."""
    _listed(record, at)
    pages = -(-int(record["file_bytes"]) // PAGE_BYTES)
    cached = [(start, end) for start, end in record.get("cached_pages", ())]
    for start, end in cached:
        if not start < end <= pages:
            raise ConfigError(f"{at}: cached_pages", f"[{start}, {end}]", f"ranges of the {pages} pages")
    rewritten = _rewritten(record, at)
    for page in rewritten:
        if page >= pages or any(start <= page < end for start, end in cached):
            problem = f"blocks of page {page}"
            raise ConfigError(f"{at}: rewritten_blocks", problem, "of pages of the file that are not cached")


def _rewritten(record: dict[str, Any], at: str) -> dict[int, int]:
    """Return page -> how many of its first blocks were rewritten; ConfigError for others than the first."""
    per_page = PAGE_BYTES // int(record["block_size"])
    blocks_of: dict[int, list[int]] = {}
    for block in sorted(record.get("rewritten_blocks", ())):
        blocks_of.setdefault(block // per_page, []).append(block % per_page)
    for page, blocks in blocks_of.items():
        if blocks != list(range(len(blocks))) or len(blocks) == per_page:
            problem = f"blocks {blocks} of page {page}"
            raise ConfigError(f"{at}: rewritten_blocks", problem, "the first blocks of a page, and not all")
    return {page: len(blocks) for page, blocks in blocks_of.items()}


@cache
def page_order(pages: int) -> tuple[int, ...]:
    """Return the rig's random order: a Fisher-Yates shuffle on a 32-bit xorshift from 12345."""
    order = list(range(pages))
    x = 12345
    for i in range(pages - 1, 0, -1):
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        j = x % (i + 1)
        order[i], order[j] = order[j], order[i]
    return tuple(order)


_ENCRYPTION = {
    "dm-crypt": re.compile(
        rf"dm-crypt ({'|'.join(CIPHER_CALLS)}) \d+-bit key, (512|4096)-byte sectors(, no_read_workqueue)?"
    ),
    "eCryptfs": re.compile(r"eCryptfs (aes-128|aes-256)( on ext4(, .*)?)?"),
    "fscrypt": re.compile("fscrypt v2 AES-256-XTS"),
}


def _said(record: dict[str, Any], scheme: str) -> re.Match[str] | None:
    """Return what a record says of its encryption if that is this scheme; ConfigError if none is known."""
    said = str(record.get("encryption", ""))
    if said and not any(known.fullmatch(said) for known in _ENCRYPTION.values()):
        allowed = (
            "dm-crypt CIPHER n-bit key, n-byte sectors; eCryptfs aes-128 or aes-256; fscrypt v2 AES-256-XTS"
        )
        raise ConfigError(str(record.get("case")), f"encryption {said!r}", allowed)
    return _ENCRYPTION[scheme].fullmatch(said)


def _table(record: dict[str, Any]) -> CryptTable | None:
    """Return the crypt target that a case was recorded on, None if there was none."""
    said = _said(record, "dm-crypt")
    return CryptTable(said[1], int(said[2]), said[3] is not None) if said else None


def _mount(record: dict[str, Any]) -> EcryptfsMount | None:
    """Return the eCryptfs mount that a case was recorded on, None if there was none."""
    said = _said(record, "eCryptfs")
    return EcryptfsMount(said[1]) if said else None


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
    log: RaLog | None = None,
) -> Machine:
    """
    Simulate a case and return the machine with its counts; `tracer` sees its block events, `log` its folios.

    device: one of DEVICES, with what it copies counted; "": as the record says.
    """
    record = case.record
    if record["path"] not in PATH_NAMES:
        raise ConfigError(case.name, f"path {record['path']!r}", ", ".join(PATH_NAMES))
    if record["es"] not in STATUS_NAMES:
        raise ConfigError(case.name, f"es {record['es']!r}", ", ".join(STATUS_NAMES))
    machine = _machine(record, costs, tracer, device, log)
    tree = case_tree(case, tree_pages)
    encrypted = str(record.get("encryption", "")).startswith("fscrypt")
    size_bytes = int(record["file_bytes"]) + (HEADER_BYTES if machine.spec.ecryptfs else 0)
    inode = FsInode(tree, size_bytes, machine.spec.block_size, encrypted)
    if "verity" in record:
        machine.enable_verity(inode)
    if (
        record["es"] == "warm" or "verity" in record
    ):  # opening read the descriptor, and so what the inode maps
        inode.map.status.fill()
    if record["es"] != "all_cold":
        machine.buffers.warm(tree.blocks)
    opened = _ecryptfs(machine, record, inode) if machine.spec.ecryptfs else inode
    mapping = machine.mapping(opened)
    _fill(machine, mapping, inode, record)
    listed = _listed(record, case.name)
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


def _machine(
    record: dict[str, Any], costs: CostTable, tracer: BlockTracer | None, device: str, log: RaLog | None
) -> Machine:
    """Return the machine of a record, with its path, its device (see run_case) and its readahead."""
    null_blk = load_device_profile("null_blk")  # no device has less latency: what the counts need
    limits = case_limits(record | {"device": DEVICES[device]} if device else record, null_blk)
    ra_pages = int(record.get("read_ahead_kb", 128)) * KIB // PAGE_BYTES
    spec = MachineSpec(
        PATH_NAMES[record["path"]],
        int(record["block_size"]),
        limits,
        costs,
        kernel=kernel_name(record, str(record["case"])),
        large_folios=bool(record.get("large_folios", False)),
        ra_log=log,
        ra_pages=ra_pages,
        tracer=tracer,
        dm_crypt=_table(record),
        ecryptfs=_mount(record),
    )
    return Machine(spec, lambda clock: make_device(clock, null_blk))


def _fill(machine: Machine, mapping: Mapping, inode: FsInode, record: dict[str, Any]) -> None:
    """Have in the page cache what the record says was there before the first read."""
    cache_pages(machine, mapping, inode, [(start, end) for start, end in record.get("cached_pages", ())])
    for page, blocks in _rewritten(record, str(record["case"])).items():
        pages_with_buffers(machine, mapping, inode, [(page, page + 1)], blocks)
