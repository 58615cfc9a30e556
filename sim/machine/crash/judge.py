"""
What a mount makes of a disk after a power cut, and which promises that keeps.

The log is replayed by sim.ext4.edit.replay; what that leaves must be sound to sim.ext4.check and, if it is
installed, to the real e2fsck -fn, without any key. Where it is sound, the replay of e2fsck must leave the
same bytes. Then the files are read, with their keys. Lost: a sector that an fsync(2) had promised has
something older. Stale: a sector has what was never written there, nor there before: another file's bytes, or
zeros over old contents. False alarm: nothing of a block is stale, and it, or its run, does not have its
checksum; worse if the block is at rest: nobody has written it since its last sync.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from sim.errors import ImageError
from sim.ext4.check.run import check_image
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.replay import count_free, replay_journal
from sim.ext4.format.superblock import SUPERBLOCK_OFFSET
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.integrity.whole_files import WholeFiles
from sim.machine.crash.e2fsck import STAMPED, E2fsck
from sim.machine.crash.history import FileHistory
from sim.machine.mounted_bytes import MountedBytes
from sim.units import SECTOR_BYTES
from sim.workload.stamps import writes_found


@dataclass(slots=True)
class Verdict:
    """
    Of one state of a disk. unsound: what our check says, "" for nothing; e2fsck: what the real one says.
    differs: the two replays left other bytes. lost, stale: sectors. alarms: blocks that are refused though
    nothing of them is stale; at_rest: those of these that nobody was writing.
    """

    unsound: str = ""
    e2fsck: str = ""
    differs: bool = False
    lost: int = 0
    stale: int = 0
    alarms: int = 0
    at_rest: int = 0


@dataclass(slots=True)
class Verdicts:
    """Of all states of one run. first: the first broken promise, in words, by kind."""

    states: int = 0
    unsound: int = 0
    e2fsck: int = 0
    differs: int = 0
    losing: int = 0
    showing: int = 0
    most_lost: int = 0
    most_stale: int = 0
    first: dict[str, str] = field(default_factory=dict)
    alarming: int = 0
    at_rest: int = 0
    most_alarms: int = 0

    def add(self, verdict: Verdict, when: str) -> None:
        """Count a state."""
        self.states += 1
        self.unsound += bool(verdict.unsound)
        self.e2fsck += bool(verdict.e2fsck)
        self.differs += verdict.differs
        self.losing += bool(verdict.lost)
        self.showing += bool(verdict.stale)
        self.most_lost = max(self.most_lost, verdict.lost)
        self.most_stale = max(self.most_stale, verdict.stale)
        self.alarming += bool(verdict.alarms)
        self.at_rest += bool(verdict.at_rest)
        self.most_alarms = max(self.most_alarms, verdict.alarms)
        told = {
            "unsound": verdict.unsound,
            "e2fsck": verdict.e2fsck,
            "differs": "the two replays differ" if verdict.differs else "",
            "lost": f"{verdict.lost} sectors that were promised" if verdict.lost else "",
            "stale": f"{verdict.stale} sectors of something else" if verdict.stale else "",
            "alarms": f"{verdict.alarms} blocks without their checksum" if verdict.alarms else "",
            "at rest": f"{verdict.at_rest} blocks that nobody was writing" if verdict.at_rest else "",
        }
        for kind, what in told.items():
            if what:
                self.first.setdefault(kind, f"{when}: {what}")


class Judge:
    """
    Judges states of the disk of one run.

    mounted: the volume, with what it and its files held before. files: by path the inode's number and what
    was written. fsck: the real one, None if it is not installed.
    """

    def __init__(
        self,
        mounted: MountedBytes,
        files: dict[str, tuple[int, FileHistory]],
        fsck: E2fsck | None,
    ) -> None:
        self._mounted = mounted
        self._files = files
        self._fsck = fsck
        self._before = {path: _whole(mounted.read_back(mounted.volume, path)) for path in files}

    def judge(self, written: Iterable[tuple[int, bytes]], at_ns: int) -> Verdict:
        """Return what becomes of a disk that has these bytes (offset, bytes) after a power cut at `at_ns`."""
        disk = self._mounted.after(written)
        verdict = Verdict()
        store = OverlayStore(MemoryStore(disk))
        try:
            replay_journal(store)
        except ImageError as error:
            verdict.unsound = str(error)
            return verdict
        ours = bytearray(disk)
        for offset, data in store.changes():
            ours[offset : offset + len(data)] = data
        self._ask_e2fsck(verdict, disk, ours)
        try:
            count_free(store)
            image = Image(store, "after the power cut")
        except ImageError as error:
            verdict.unsound = str(error)
            return verdict
        problems = check_image(image)
        verdict.unsound = problems[0] if problems else ""
        sums = self._mounted.sums
        whole = None if sums is None else sums.files(image)
        for path in self._files:
            self._look(verdict, image, whole, path, at_ns)
        return verdict

    def _ask_e2fsck(self, verdict: Verdict, disk: bytearray, ours: bytearray) -> None:
        if self._fsck is None:
            return
        verdict.e2fsck = self._fsck.finds(ours)
        if verdict.e2fsck:
            return  # it would repair more than the log
        theirs = bytearray(self._fsck.replayed(disk))
        for places in STAMPED:
            first, end = SUPERBLOCK_OFFSET + places.start, SUPERBLOCK_OFFSET + places.stop
            theirs[first:end] = ours[first:end]
        verdict.differs = theirs != ours

    def _look(self, verdict: Verdict, image: Image, whole: WholeFiles | None, path: str, at_ns: int) -> None:
        """Count what of a file is lost, what is stale, and what is refused for no reason."""
        number, history = self._files[path]
        try:
            held = _whole(self._mounted.read_back(image, path))
        except ImageError as error:
            verdict.unsound = verdict.unsound or str(error)
            return
        before = self._before[path]
        sectors = max(len(held), len(before)) // SECTOR_BYTES
        held, before = held.ljust(sectors * SECTOR_BYTES, b"\0"), before.ljust(sectors * SECTOR_BYTES, b"\0")
        found = writes_found(held, number)
        old = (_sectors(held) == _sectors(before)).all(axis=1)
        promised = history.promised(at_ns, sectors)
        verdict.lost += int((history.turns(found) < history.turns(promised)).sum())
        stale = ((found < 0) & ~old) | (found > history.issued(at_ns))
        verdict.stale += int(stale.sum())
        per_block = image.block_size // SECTOR_BYTES
        moving = history.begun(at_ns, sectors) != promised
        for first, count in whole.refused(image.lookup(path)) if whole is not None else ():
            if not stale[first * per_block : (first + count) * per_block].any():
                verdict.alarms += count
                blocks = range(first * per_block, (first + count) * per_block, per_block)
                verdict.at_rest += sum(not moving[at : at + per_block].any() for at in blocks)


def _whole(data: bytes) -> bytes:
    """Return contents as whole sectors."""
    return data.ljust(-(-len(data) // SECTOR_BYTES) * SECTOR_BYTES, b"\0")


def _sectors(data: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.frombuffer(data, np.uint8).reshape(-1, SECTOR_BYTES)
