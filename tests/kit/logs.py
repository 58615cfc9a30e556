"""
Logs for tests: an image with a journal in any of its forms, transactions in it, a power cut at any block.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.features import Incompat
from sim.ext4.format.journal import Journal, Transaction
from sim.ext4.format.journal_blocks import COMMIT, MAGIC, REVOKE, LogCompat, LogIncompat, Written
from sim.ext4.format.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET, parse_superblock
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore

CHECKSUM = LogCompat.CHECKSUM
FORMS: dict[str, tuple[LogIncompat, LogCompat]] = {
    "plain": (LogIncompat(0), LogCompat(0)),
    "64bit": (LogIncompat.BIT64, LogCompat(0)),
    "v1": (LogIncompat(0), CHECKSUM),
    "v1-async": (LogIncompat.BIT64 | LogIncompat.ASYNC_COMMIT, CHECKSUM),
    "v2": (LogIncompat.CSUM_V2, LogCompat(0)),
    "v2-64bit": (LogIncompat.CSUM_V2 | LogIncompat.BIT64, LogCompat(0)),
    "v3": (LogIncompat.CSUM_V3, LogCompat(0)),
    "v3-64bit": (LogIncompat.CSUM_V3 | LogIncompat.BIT64, LogCompat(0)),
    "v3-async": (LogIncompat.CSUM_V3 | LogIncompat.ASYNC_COMMIT, LogCompat(0)),
}
"""Every form of a log that Linux 6.1 writes, and version 2, which it reads."""


@dataclass
class Log:
    """An image that is written to; `written`: the blocks of the log, in the order of their writes."""

    store: OverlayStore
    journal: Journal
    written: list[Written]

    @classmethod
    def on(cls, base: ByteStore, form: str, head: int = 1, sequence: int = 1) -> Log:
        """Return a log of a form on an unmounted image; its next transaction comes to block `head`."""
        store = OverlayStore(base)
        journal = Journal.of(Image(store))
        incompat, compat = FORMS[form]
        journal.with_format(replace(journal.format, incompat=incompat | LogIncompat.REVOKE, compat=compat))
        journal.head, journal.sequence = head, sequence
        journal.checkpointed()
        return cls(store, journal, [])

    def commit(self, blocks: list[Written], revoked: list[int] = [], time_s: int = 0) -> Transaction:  # noqa: B006
        """Append a transaction; it is written with `power_cut`."""
        transaction = self.journal.commit(blocks, time_s, revoked)
        self.written += [*transaction.logged, transaction.commit]
        return transaction

    def power_cut(self, after: int | None = None) -> None:
        """Write the journal's superblock and so many blocks of the log (None: all), and no more."""
        size = self.journal.block_size
        for block, data in [self.journal.superblock(), *self.written[:after]]:
            self.store.write(block * size, data)
        needs_recovery(self.store)

    def bytes(self) -> bytes:
        """Return the image."""
        return bytes(self.store.read(0, self.store.size_bytes))


def needs_recovery(store: OverlayStore) -> None:
    """Mark an image as one that was not unmounted."""
    raw = bytearray(store.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES))
    superblock = parse_superblock(bytes(raw))
    struct.pack_into("<I", raw, 0x60, superblock.incompat | Incompat.NEEDS_RECOVERY)
    Checksums(superblock).superblock(raw)
    store.write(SUPERBLOCK_OFFSET, raw)


def damage(log: Log, what: str) -> None:
    """Spoil a log that was written: a byte of one of its blocks."""
    revocation, first_commit = (
        next(n for n, (_, data) in enumerate(log.written) if data[:8] == struct.pack(">2I", MAGIC, kind))
        for kind in (REVOKE, COMMIT)
    )
    number, offset = {
        "descriptor": (0, 700),
        "logged": (3, 700),
        "revocation": (revocation, 700),
        "its length": (revocation, 0x0C),
        "first commit": (first_commit, 0x11),
        "last commit": (len(log.written) - 1, 0x11),
    }[what]
    place = log.written[number][0] * log.journal.block_size + offset
    byte = log.store.read(place, 1)[0]
    log.store.write(place, bytes([byte ^ 0x40]))
