"""
What became of one submitted bio, from submit_bio() until its reader runs on. Kept only while tracing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class IoRecord:
    """
    One bio, or a row of one-block bios submitted together. Times in ns of the clock; -1: not yet.

    queued_ns: the task submitted it. flushed_ns: the last request that holds a part of it left the plug; for
    a bio that met no plug, queued_ns. issued_ns: the last command that holds a part of it went to the
    device. completed_ns: the last of these answered. interrupted_ns: the interrupt's work on it was done.
    ready_ns: its data was ready for the reader, decrypted if need be, and its pages unlocked. woken_ns: the
    last reader that slept for one of its pages ran on; ready_ns if none did, as with what readahead brought
    in time. The differences between one and the next are the stages of the I/O and add up to its whole time.

    merges: how many of its bios (or of its pieces, if it had to be split) joined a request that was there.
    """

    sector: int
    sectors: int
    bios: int
    queued_ns: int
    merges: int = 0
    flushed_ns: int = -1
    issued_ns: int = -1
    completed_ns: int = -1
    interrupted_ns: int = -1
    ready_ns: int = -1
    woken_ns: int = -1

    def ready(self, ns: int) -> None:
        """Pages of it are unlocked."""
        self.ready_ns = max(ns, self.interrupted_ns)
        self.woken_ns = max(self.woken_ns, self.ready_ns)

    def woke(self, ns: int) -> None:
        """A reader that slept for a page of it runs on."""
        self.woken_ns = max(self.woken_ns, ns)


STAGES: dict[str, tuple[str, str]] = {
    "plug_ns": ("queued_ns", "flushed_ns"),
    "queue_ns": ("flushed_ns", "issued_ns"),
    "device_ns": ("issued_ns", "completed_ns"),
    "interrupt_ns": ("completed_ns", "interrupted_ns"),
    "post_read_ns": ("interrupted_ns", "ready_ns"),
    "wake_ns": ("ready_ns", "woken_ns"),
}
"""Stage -> the times it lies between: plug; scheduler; device; interrupt; decryption; waking."""
