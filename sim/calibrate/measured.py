"""
What is measured: whole cases of reading, and hot loops.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sim.calibrate.constants import Constant
from sim.records.devices import EMULATED

Features = dict[Constant, float]
ENCRYPTED = "encrypted, by symbol"
"""The device of the cases around encryption: the rig's RAM device, which copies."""


@dataclass(slots=True)
class Measured:
    """
    One record of a whole case: what was measured, per 4 KiB read, and its features, per 4 KiB.

    device: "ram" (bio-based, no copy), "ram+copy", "null_blk", "nvme's driver"; with " by symbol" where the
    value is a sum over symbols. symbols, calls: of each recorded symbol; rep_bytes: instructions among them
    that are bytes of a `rep`, where that is recorded. value: instructions, or ns (see times); boots: the
    median ns of each boot. fitted: whether constants are fitted to it. in_kernel: read by the kernel itself,
    without system calls.
    around: instructions a call that a cipher takes around its assembler code, by cipher, where recorded.
    """

    name: str
    device: str
    block_size: int
    layout: str
    path: str
    access: str
    status: str
    record: dict[str, Any] = field(repr=False)
    value: float = 0.0
    boots: tuple[float, ...] = ()
    symbols: dict[str, float] = field(default_factory=dict, repr=False)
    calls: dict[str, float] = field(default_factory=dict, repr=False)
    rep_bytes: dict[str, float] = field(default_factory=dict, repr=False)
    around: dict[str, float] = field(default_factory=dict, repr=False)
    features: Features = field(default_factory=dict, repr=False)
    fitted: bool = True
    in_kernel: bool = False

    @property
    def runs_on(self) -> str:
        """The driver that its reads go through: a key of EMULATED, "null_blk", or "" for a RAM device's."""
        named = str(self.record.get("case", "")).partition("/")[0]
        if named in EMULATED:
            return named
        return "null_blk" if self.device.startswith("null_blk") else ""

    @property
    def work(self) -> tuple[str, ...]:
        """What is read on which device, by whatever path; the layout by its name only."""
        record = self.record
        return (
            self.runs_on or "ram",
            str(self.block_size),
            self.layout,
            self.access,
            self.status,
            f"{record['pages_read']}p",
            f"ra{record.get('read_ahead_kb', 128)}",
            record.get("encryption") or "plain",
        )

    @property
    def key(self) -> str:
        """A name for what is simulated for it: its work and path."""
        return "/".join((*self.work, self.path))

    def charges(self, symbol: str) -> bool:
        """
        Return whether the recorded machine did what a symbol stands for.

        A reader inside the kernel makes no system calls, and device "ram" does not copy: all else is the
        same, and simulated once.
        """
        absent = {"entry_SYSCALL_64": self.in_kernel, "memcpy_page": self.device == "ram"}
        return not absent.get(symbol, False)


@dataclass(frozen=True, slots=True)
class Primitive:
    """
    One hot loop: ns per turn. what, arg: which; the rest as in Measured.

    extents, known: extents of its file, and entries of the status cache when all of it is known.
    """

    name: str
    what: str
    arg: int
    block_size: int
    layout: str
    path: str
    status: str
    ns: float
    device: str
    extents: int
    known: int


def device_of(record: dict[str, Any]) -> str:
    """Return the kind of device a record of instructions names."""
    return "null_blk" if "null" in record["device"] else "ram+copy"


def measured_case(record: dict[str, Any], device: str) -> Measured:
    """Return a record of reading a whole file on `device`, without its value."""
    case = ("block_size", "layout", "path", "access", "es")
    name = "/".join((device, *(str(record[key]) for key in case)))
    block_size, layout, path, access, status = (record[key] for key in case)
    return Measured(name, device, block_size, layout, path, access, status, record)
