"""
What a bio asks for besides its sectors: operation and flags (include/linux/blk_types.h, Linux 6.1).

The bits are ours; the names, and the letters that blkparse prints for them (RWBS), are the kernel's.
"""

from __future__ import annotations

from typing import Final

REQ_OP_READ: Final = 0
REQ_OP_WRITE: Final = 1
REQ_OP_MASK: Final = 1
REQ_SYNC: Final = 2
REQ_META: Final = 4
REQ_PREFLUSH: Final = 8
"""Empty the device's cache before this bio; alone, without sectors: only that."""
REQ_FUA: Final = 16
"""On stable storage when the bio completes."""
REQ_IDLE: Final = 32
"""The device may take its time (of jbd2's log: blk-wbt lets it pass); changes nothing here."""
REQ_PRIO: Final = 64
"""Before others (of metadata); changes nothing here."""
REQ_BACKGROUND: Final = 128
"""Nobody waits for it; changes nothing here."""
FLUSH: Final = REQ_OP_WRITE | REQ_SYNC | REQ_PREFLUSH
"""What a flush without data asks for."""
FLUSH_FLAGS: Final = REQ_PREFLUSH | REQ_FUA
"""What makes a bio pass the flush machinery (op_is_flush); such a bio merges with none."""


def rwbs(opf: int) -> str:
    """Return blkparse's RWBS letters, as `fill_rwbs` orders them: F, R or W, F for FUA, S, M."""
    return (
        ("F" if opf & REQ_PREFLUSH else "")
        + ("W" if opf & REQ_OP_WRITE else "R")
        + ("F" if opf & REQ_FUA else "")
        + ("S" if opf & REQ_SYNC else "")
        + ("M" if opf & REQ_META else "")
    )


def action(letter: str, opf: int) -> str:
    """Return what a tracer is told: blktrace's letter, with RWBS behind it for what is no read."""
    return letter if opf == REQ_OP_READ else f"{letter} {rwbs(opf)}"
