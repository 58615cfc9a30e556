"""
Reading the log of a journal: which blocks a replay brings in place (fs/jbd2/recovery.c, Linux 6.1).

Three passes. The first goes through the transactions until one has no commit record, is of another sequence
or has a wrong checksum: that is where the log ends. The second gathers the revocations. The third takes the
logged blocks, but for those that the same or a later transaction revokes.

Left out: fast commits, a journal on a device of its own (log_of refuses them).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sim.errors import ImageError
from sim.ext4.format.journal import log_of
from sim.ext4.format.journal_blocks import (
    COMMIT,
    DESCRIPTOR,
    HEADER,
    MAGIC,
    REVOKE,
    SEQUENCES,
    LogFormat,
    Written,
    commit_time_s,
    crc32_be,
    unescaped,
)
from sim.ext4.format.journal_super import LogSuperblock
from sim.ext4.read.reader import Image


class _Pass(Enum):
    SCAN = 1
    REVOKE = 2
    REPLAY = 3


@dataclass
class Replay:
    """
    What a log brings in place.

    first, end: the sequence of its first transaction, and the one behind its last. writes: the blocks in the
    order of the log; a block may come several times. revoked: how many logged blocks were left out for a
    revocation. aborted: why the log ends before a transaction that has a commit record, "" if it does not.
    damaged: which block of a transaction that counts is not as it was written, "" if none; what else was read
    is brought in place all the same.
    """

    first: int
    end: int
    writes: list[Written] = field(default_factory=list)
    revoked: int = 0
    aborted: str = ""
    damaged: str = ""

    def blocks(self) -> dict[int, bytes]:
        """Return what each block holds in the end."""
        return dict(self.writes)


def read_log(image: Image) -> Replay:
    """
    Return what the replay of an image's log brings in place; nothing, if the log is empty.

    Raises ImageError if there is no journal, or one of a kind that is left out.
    """
    blocks, superblock = log_of(image)
    return LogReader(image, blocks, superblock).replay()


class LogReader:
    """The log of an image. blocks: where the journal's blocks lie."""

    def __init__(self, image: Image, blocks: list[int], superblock: LogSuperblock) -> None:
        self._image = image
        self._blocks = blocks
        self._superblock = superblock
        self._format: LogFormat = superblock.format
        self._at = 0
        self._passed = 0
        self._revoked: dict[int, int] = {}
        self._found = Replay(superblock.sequence, superblock.sequence)
        self._has_end = False

    def replay(self) -> Replay:
        """Go through the log three times."""
        found = self._found
        if self._superblock.start:
            for each in _Pass:
                try:
                    self._pass(each)
                except _DamagedError as damage:
                    found.damaged = found.damaged or str(damage)
                    break
        return found

    def _read(self) -> bytes:
        """Return the next block of the ring."""
        raw = bytes(self._image.read_block(self._blocks[self._at]))
        self._skip(1)
        return raw

    def _skip(self, count: int) -> None:
        """Go on by so many blocks; raise _DamagedError once a transaction has more than there are."""
        first = self._superblock.first
        ring = self._superblock.blocks - first
        self._at = first + (self._at - first + count) % ring
        self._passed += count
        if self._passed > ring:
            raise _DamagedError(f"a transaction has more than the {ring} blocks of the log")

    def _pass(self, which: _Pass) -> None:
        """Go through the log once; raise _DamagedError where it cannot go on and should."""
        found = self._found
        self._at = self._superblock.start
        self._passed = 0
        sequence = found.first
        scan = _Scan()
        while which == _Pass.SCAN or (sequence - found.end) % SEQUENCES >= SEQUENCES // 2:
            raw = self._read()
            magic, kind, said = HEADER.unpack_from(raw)
            if magic != MAGIC or said != sequence or kind not in (DESCRIPTOR, COMMIT, REVOKE):
                break
            if kind == DESCRIPTOR:
                self._descriptor(which, sequence, raw, scan)
            elif kind == REVOKE:
                self._revocations(which, sequence, raw, scan)
            elif which == _Pass.SCAN and not self._commit_counts(sequence, raw, scan):
                break
            else:
                sequence = (sequence + 1) % SEQUENCES
                self._passed = 0
        if which == _Pass.SCAN:
            if not self._has_end:
                found.end = sequence
        elif sequence != found.end:
            raise _DamagedError(f"a pass ended at transaction {sequence}, not {found.end}")

    def _descriptor(self, which: _Pass, sequence: int, raw: bytes, scan: _Scan) -> None:
        log_format = self._format
        if not log_format.tail_is_right(raw):
            if which != _Pass.SCAN:
                raise _DamagedError(f"the checksum of a descriptor of transaction {sequence} is wrong")
            scan.suspicious = True
        tags = log_format.tags(raw)
        if which == _Pass.REPLAY:
            for tag in tags:
                logged = self._read()
                if self._is_revoked(tag.block, sequence):
                    self._found.revoked += 1
                elif log_format.data_is_right(tag, sequence, logged):
                    self._found.writes.append((tag.block, unescaped(tag, logged)))
                else:
                    problem = f"the checksum of block {tag.block} in transaction {sequence} is wrong"
                    self._found.damaged = self._found.damaged or problem
        elif which == _Pass.SCAN and log_format.sums_transactions and not self._has_end:
            scan.crc = crc32_be(scan.crc, raw)
            for _ in tags:
                scan.crc = crc32_be(scan.crc, self._read())
        else:
            self._skip(len(tags))

    def _revocations(self, which: _Pass, sequence: int, raw: bytes, scan: _Scan) -> None:
        if which == _Pass.SCAN and not self._format.tail_is_right(raw):
            scan.suspicious = True
        if which != _Pass.REVOKE:
            return
        if not self._format.tail_is_right(raw):
            raise _DamagedError(f"the checksum of revocations of transaction {sequence} is wrong")
        try:
            blocks = self._format.revoked(raw)
        except ImageError as error:
            raise _DamagedError(error.problem) from error
        for block in blocks:
            known = self._revoked.get(block)
            if known is None or 0 < (sequence - known) % SEQUENCES < SEQUENCES // 2:
                self._revoked[block] = sequence

    def _is_revoked(self, block: int, sequence: int) -> bool:
        """Return whether a block was revoked in this transaction or later."""
        known = self._revoked.get(block)
        return known is not None and (known - sequence) % SEQUENCES < SEQUENCES // 2

    def _commit_counts(self, sequence: int, raw: bytes, scan: _Scan) -> bool:
        """
        Return whether a commit record makes its transaction count, so that the scan goes on.

        A wrong checksum is the end of the log. What was written before the transaction before it is left from
        an earlier round; if it was not, the log is damaged, but for asynchronous commits, of which the last
        may be there without what it commits.
        """
        time_s = commit_time_s(raw)
        stale = time_s < scan.time_s
        if scan.suspicious:
            if stale:
                return False
            raise _DamagedError(f"the checksum of a block of transaction {sequence} is wrong")
        if self._has_end and self._format.sums_transactions:
            self._found.aborted = f"the checksum of transaction {self._found.end} is wrong"
            return False
        if self._format.commit_is_right(raw, scan.crc):
            scan.crc = 0xFFFF_FFFF
        else:
            if stale:
                return False
            self._found.end = sequence
            self._has_end = sequence != 0  # the kernel's 0 means that none was found
            if not self._format.commits_asynchronously:
                if self._has_end:
                    self._found.aborted = f"the checksum of transaction {sequence} is wrong"
                return False
        scan.time_s = time_s
        return True


class _Scan:
    """What the first pass remembers: the transaction's CRC-32, a wrong checksum, the last commit's time."""

    def __init__(self) -> None:
        self.crc = 0xFFFF_FFFF
        self.suspicious = False
        self.time_s = 0


class _DamagedError(Exception):
    """A pass cannot go on."""
