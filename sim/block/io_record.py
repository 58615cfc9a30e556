"""
What became of one submitted bio: when it was queued, issued, completed and ready. Kept only while tracing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class IoRecord:
    """
    One bio, or a row of one-block bios submitted together. Times in ns of the clock; -1: not yet.

    queued_ns: the task submitted it. issued_ns: the last command that holds a part of it went to the
    device. completed_ns: the last of these answered. interrupted_ns: the interrupt's work on it was done.
    ready_ns: its data was ready for the reader, decrypted if need be. The four differences between them are
    the stages of the I/O and add up to its whole time.
    """

    sector: int
    sectors: int
    bios: int
    queued_ns: int
    issued_ns: int = -1
    completed_ns: int = -1
    interrupted_ns: int = -1
    ready_ns: int = -1


STAGES: dict[str, tuple[str, str]] = {
    "queue_ns": ("queued_ns", "issued_ns"),
    "device_ns": ("issued_ns", "completed_ns"),
    "interrupt_ns": ("completed_ns", "interrupted_ns"),
    "post_read_ns": ("interrupted_ns", "ready_ns"),
}
"""Stage -> the times it lies between: plug and scheduler; device; interrupt; decryption."""
