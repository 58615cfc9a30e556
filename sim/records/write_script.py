"""
The script of a recorded write case, done by the simulator.

How often a write fell into a new clock tick and where in the log the first transaction lies is the record's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.engine.costs import CostTable
from sim.engine.cpu import Task
from sim.fs.allocation import Ext4Allocator
from sim.fs.writeback_control import WB_ALL, WB_SYNC_NONE
from sim.machine.unmount import Unmount
from sim.machine.writer import Ext4Writer
from sim.records.counted_machine import SETTLES_NS, CountedMachine
from sim.records.script_files import ScriptFiles, know_all, know_nodes
from sim.records.write_case import PATHS, WriteCase, jobs_of, piece_ends, pieces

TICKS_A_ROUND = 1
"""In a round of the instruction recordings, which lasts less than a tick of 4 ms, the times change once."""


class ScriptRun(CountedMachine):
    """One case on a file system, being run."""

    def __init__(self, case: WriteCase, costs: CostTable) -> None:
        super().__init__(case, costs)
        record, volume, machine = case.record, case.volume, self.machine
        self.allocator = Ext4Allocator(machine.ledger, volume.allocator())
        self.writer = Ext4Writer(
            machine.clock,
            machine.cpu,
            machine.ledger,
            self.queue,
            machine.cache,
            volume.shape(1),
            case.options,
            self.allocator,
            PATHS[record["path"]],
            record["path"].endswith("2"),
        )
        self.writer.buffers.warm(volume.mounted_blocks())
        self.files = ScriptFiles(case, machine, self.writer, self.allocator)

    def run(self) -> None:
        """Do what the script says, up to umount."""
        self.play(self._script(self.machine.cpu.task(0, "wtruth")))

    def waited_for_credits(self) -> bool:
        """Tell whether the writer has waited for credits that a worker gave back."""
        return self.writer.journal is not None and self.writer.journal.reserve_waits > 0

    # -- the script ----------------------------------------------------------------------------------

    def _script(self, task: Task) -> Generator[Any, Any, None]:
        for line in self.case.record["script"]:
            words = line.split()
            yield from self._line(task, words)

    def _line(self, task: Task, words: list[str]) -> Generator[Any, Any, None]:
        writer, verb = self.writer, words[0]
        if verb == "mark":
            yield from task.settle()
            yield self.machine.clock.timeout(SETTLES_NS)
            self._mark(words[1])
        elif verb == "mount":
            yield from self.files.names.mounted(task, self.case.volume.backups())
        elif verb == "open":
            yield from self.files.opened(task, int(words[1]), words[2].removeprefix("/mnt"))
        elif verb == "close":
            if int(words[1]) in self.files.open:
                self.allocator.close(task, self.files.open[int(words[1])])
        elif verb == "umount":
            others = len(self.files.directories)
            yield from Unmount(self.machine.ledger, writer, self.machine.cache, others).run(task)
        elif verb == "fiemap" and words[2] == "before":
            know_all(writer, self.files.open[0])
        elif verb == "precache":
            know_nodes(writer, self.files.open[0])
        elif verb == "esclear":
            self.files.open[int(words[1])].es.clear()
        elif verb == "rseq":
            self.files.read(int(words[1]), int(words[2]), int(words[4]))
        elif verb in ("w", "wseq", "wv", "wl"):
            yield from self._write(task, words)
        elif verb in ("fsync", "fdatasync"):
            yield from writer.sync.fsync(task, self.files.open[int(words[1])], verb == "fdatasync")
        elif verb == "sfr":
            flags = int(words[4])
            inode = self.files.open[int(words[1])]
            yield from writer.sync.sync_file_range(
                task, inode, bool(flags & 1), bool(flags & 2), bool(flags & 4)
            )
        elif verb == "syncfs" or (verb == "sync" and self.phase is None):
            yield from writer.flusher.syncfs(task)
        elif verb == "sleep" and self.phase == "sync":
            yield from writer.flusher.finish(task, WB_ALL)
        elif verb == "dontneed":
            inode = self.files.open[int(words[1])]
            yield from writer.write_back.writepages(task, inode, WB_SYNC_NONE)
            yield from writer.wait.wait(task, inode)
            self.machine.cache.drop(inode.mapping)
        elif verb == "falloc":
            yield from writer.fallocate(
                task, self.files.open[int(words[1])], int(words[3]), int(words[4]), words[2] == "1"
            )
        elif verb == "fill":
            yield from self.files.fill(task, int(words[2]), int(words[3]))
        elif verb == "mkdir":
            yield from self.files.make_directory(task, words[1].removeprefix("/mnt"))
        elif verb == "many":
            yield from self._many(task, words[1].removeprefix("/mnt"), *map(int, words[2:5]))
        elif verb == "unlink":
            self.files.free(words[1].removeprefix("/mnt"))

    def _write(self, task: Task, words: list[str]) -> Generator[Any, Any, None]:
        jobs, how = jobs_of(words)
        inode = self.files.open[int(words[1])]
        for offset, length in jobs:
            for at, part in pieces(offset, length):
                self.writes += 1
                self.grew += at + part > inode.size
                yield from self.writer.write(task, inode, at, part)
            if how:
                yield from self.writer.sync.fsync(task, inode, how == 2)

    def _many(self, task: Task, folder: str, number: int, size: int, how: int) -> Generator[Any, Any, None]:
        """Make files of `size` bytes in a directory, one after the other; sync each as told; close it."""
        for each in range(number):
            yield from self.files.opened(task, -1 - each, f"{folder}/f{each:04d}")
            inode = self.files.open[-1 - each]
            for at, part in pieces(0, size):
                self.writes += 1
                yield from self.writer.write(task, inode, at, part)
            if how:
                yield from self.writer.sync.fsync(task, inode, how == 2)
            self.allocator.close(task, inode)
            yield from task.settle()

    def _mark(self, name: str) -> None:
        journal, head = self.writer.journal, self.case.log_head()
        if name == "write" and journal is not None and journal.log.head != head:
            self.all_simulated = False
            journal.log.head = head
            places = self.case.volume.journal_places()
            self.writer.buffers.forget_pages(places)
            self.writer.buffers.warm([places[0], places[head - 1]])
        self.begin(name)
        ticks = self._ticks() if name == "write" else TICKS_A_ROUND
        self.ticks = self.ticks or ticks
        self.writer.sb.ticks_left = ticks if name.startswith("write") else 0

    def _ticks(self) -> int:
        """Return how often a write of the case fell into a new tick: what of ext4_dirty_inode() is left."""
        called = self.case.phase("write")
        quota = called.get("ext4_mb_new_blocks", 0) + called.get("ext4_free_blocks", 0)
        left = called.get("ext4_dirty_inode", 0) - quota
        if self.writer.sb.delalloc and not self.writer.plain:
            left -= self._growths()
        return max(left, 0)

    def _growths(self) -> int:
        """Return how many pieces of writes make a file longer."""
        sizes = {number: inode.size for number, inode in self.files.open.items()}
        grown = 0
        for line in self.case.record["script"]:
            words = line.split()
            if words[0] == "many":
                grown += int(words[2]) * sum(1 for _ in piece_ends(0, int(words[3])))
            if words[0] not in ("w", "wseq", "wv", "wl"):
                continue
            number = int(words[1])
            for offset, length in jobs_of(words)[0]:
                for end in piece_ends(offset, length):
                    if end > sizes[number]:
                        sizes[number] = end
                        grown += 1
        return grown
