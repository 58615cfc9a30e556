"""
Handles and transactions: who may change which block of metadata, and what has to be committed together
(fs/jbd2/transaction.c of Linux 6.1).

A handle reserves credits, a block each that it may change, in the running transaction; what it did not use it
gives back when it stops. A transaction that has no room for a handle's credits is committed first, and the
handle waits. Blocks are named by their number; `LogBytes` has their bytes, if there are any.

Left out: abort, fast commits, reserved handles' own limit. That a block is being committed stops only who
asks (sim.fs.buffer_locks).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, Site
from sim.errors import InvariantError
from sim.fs.jbd2.handle import METADATA, RESERVED, WAITS, WRITES, Handle, Transaction
from sim.fs.jbd2.shadow import Shadows


class Transactions:
    """
    The running transaction of one journal, and the handles on it.

    limit: credits a transaction may have (j_max_transaction_buffers). overhead: its descriptors. space: a
    call that tells whether the log has room for another transaction; commit: one that asks for a commit.
    """

    def __init__(self, clock: Clock, ledger: Ledger, limit: int, overhead: int) -> None:
        self.clock = clock
        self.limit = limit
        self.overhead = overhead
        self.next_tid = 1
        self.running: Transaction | None = None
        self.committing: Transaction | None = None
        self.shadows = Shadows()
        self.requested = 0
        self.wake: Any = None
        self.reserved = 0
        self.reserve_waits = 0
        self._reserve_waiters: list[Any] = []
        self._place(ledger)

    def _place(self, ledger: Ledger) -> None:
        """Find the places of what is called."""
        start = "__ext4_journal_start_sb;jbd2__journal_start"
        self._s_start = ledger.site(
            TASK, "", "__ext4_journal_start_sb __ext4_journal_start_sb;jbd2__journal_start"
        )
        self._s_first = ledger.site(
            TASK, start, "start_this_handle start_this_handle;add_transaction_credits"
        )
        self._s_again = ledger.site(TASK, f"{start};start_this_handle", "add_transaction_credits")
        self._s_stop = ledger.site(TASK, "", "__ext4_journal_stop __ext4_journal_stop;jbd2_journal_stop")
        self._s_last = ledger.site(TASK, "__ext4_journal_stop;jbd2_journal_stop", "stop_this_handle")
        get = "__ext4_journal_get_write_access"
        self._s_get = ledger.site(
            TASK,
            "",
            f"{get} {get};jbd2_journal_get_write_access"
            f" {get};jbd2_journal_get_write_access;jbd2_write_access_granted",
        )
        inner = f"{get};jbd2_journal_get_write_access"
        self._s_do_get = ledger.site(
            TASK,
            inner,
            "jbd2_journal_add_journal_head do_get_write_access"
            " do_get_write_access;jbd2_journal_cancel_revoke",
        )
        create = "__ext4_journal_get_create_access"
        self._s_create = ledger.site(
            TASK,
            "",
            f"{create} {create};jbd2_journal_get_create_access"
            f" {create};jbd2_journal_get_create_access;jbd2_journal_add_journal_head"
            f" {create};jbd2_journal_get_create_access;jbd2_journal_cancel_revoke",
        )
        self._s_file = ledger.site(TASK, "", "__jbd2_journal_file_buffer")
        self._s_dirty = ledger.site(
            TASK, "", "__ext4_handle_dirty_metadata __ext4_handle_dirty_metadata;jbd2_journal_dirty_metadata"
        )
        self._s_inode = {
            WAITS: ledger.site(
                TASK,
                "",
                "jbd2_journal_inode_ranged_wait jbd2_journal_inode_ranged_wait;jbd2_journal_file_inode",
            ),
            WRITES: ledger.site(
                TASK,
                "",
                "jbd2_journal_inode_ranged_write jbd2_journal_inode_ranged_write;jbd2_journal_file_inode",
            ),
        }
        self._s_extend = ledger.site(TASK, "", "jbd2_journal_extend")
        self._s_revoke = ledger.site(TASK, "", "jbd2_journal_revoke")
        self._s_forget = ledger.site(TASK, "", "jbd2_journal_forget")
        self._s_file_forgotten = ledger.site(TASK, "jbd2_journal_forget", "__jbd2_journal_file_buffer")
        self._s_ask = ledger.site(TASK, "", "jbd2_log_start_commit jbd2_log_start_commit;try_to_wake_up")

    def sites_of_handles(self) -> list[Site]:
        """Return all that handles may charge which start at once and change blocks."""
        starts = [self._s_start, self._s_first, self._s_stop, self._s_last]
        return [*starts, self._s_get, self._s_do_get, self._s_file, self._s_dirty]

    # -- handles -----------------------------------------------------------------------------------

    def start(self, task: Task, credits: int) -> Generator[Any, Any, Handle]:
        """jbd2__journal_start(): a handle of `credits` blocks; waits for a commit where there is no room."""
        if task.handle is not None:
            return self.start_at_once(task, credits)
        task.ps += self._s_start.charge(1)
        first = True
        while True:
            task.ps += (self._s_first if first else self._s_again).charge(1)
            first = False
            if self.fits(credits):
                return self._open(task, credits)
            yield from self.make_room(task)

    def start_at_once(self, task: Task, credits: int) -> Handle:
        """Start a handle for which there is room, or one more on the handle that the task has."""
        task.ps += self._s_start.charge(1)
        handle: Handle | None = task.handle
        if handle is not None:
            handle.refs += 1
            return handle
        task.ps += self._s_first.charge(1)
        return self._open(task, credits)

    def reserve(self, task: Task, credits: int) -> Generator[Any, Any, None]:
        """
        Set credits aside for a handle that comes later, behind the start of one: at most half a
        transaction's.

        Where there are too many it waits, and the start is tried again.
        """
        if credits > self.limit // 2:
            raise InvariantError(f"{credits} credits set aside, in transactions of {self.limit}")
        while not self.reserve_fits(credits):
            self.reserve_waits += 1
            event = self.clock.event()
            self._reserve_waiters.append(event)
            yield from task.wait(event)
            task.ps += self._s_again.charge(1)
        self.reserved += credits

    def reserve_fits(self, credits: int) -> bool:
        """Tell whether so many credits more may be set aside."""
        return self.reserved + credits <= self.limit // 2

    def unreserve(self, credits: int) -> None:
        """sub_reserved_credits()."""
        self.reserved -= credits
        waiters, self._reserve_waiters = self._reserve_waiters, []
        for event in waiters:
            event.succeed()

    def start_reserved(self, task: Task, credits: int) -> Handle:
        """jbd2_journal_start_reserved(): a handle whose credits were set aside, its calls not charged."""
        handle = self._open(task, credits)
        self.unreserve(credits)
        return handle

    def fits(self, credits: int) -> bool:
        """Tell whether a handle may start at once."""
        running = self.running
        if running is None:
            return self.has_space()
        return not running.locked and running.credits + credits <= self.limit

    def has_space(self) -> bool:
        """Tell whether the log has room for another transaction."""
        raise NotImplementedError

    def make_room(self, task: Task) -> Generator[Any, Any, None]:
        """Wait until the running transaction is committed, or the log has room."""
        raise NotImplementedError

    def _open(self, task: Task, credits: int) -> Handle:
        if credits > self.limit:
            raise InvariantError(f"a handle of {credits} credits, in transactions of {self.limit}")
        running = self.running
        if running is None:
            running = self.running = Transaction(self.next_tid, self.overhead + self.reserved)
            self.next_tid += 1
            self.begun(running)
        running.credits += credits
        running.updates += 1
        handle = Handle(running, credits)
        task.handle = handle
        return handle

    def ensure_credits(self, task: Task, credits: int) -> Generator[Any, Any, None]:
        """
        Have so many credits left of a task's handle: jbd2_journal_extend(), else jbd2__journal_restart().
        """
        handle: Handle | None = task.handle
        if handle is None:
            raise InvariantError(f"task {task.name} has no handle to extend")
        more = credits - handle.credits
        if more <= 0 or self.extend(task, more):
            return
        refs, handle.refs = handle.refs, 1
        self.stop(task)
        restarted = yield from self.start(task, credits)
        restarted.refs = refs

    def extend(self, task: Task, more: int) -> bool:
        """jbd2_journal_extend(): let a task's handle have more credits, if there is room for them."""
        handle: Handle = task.handle
        running = handle.transaction
        task.ps += self._s_extend.charge(1)
        if running.locked or running.credits + more > self.limit:
            return False
        running.credits += more
        handle.credits += more
        return True

    def filed(self, blocks: Sequence[int]) -> None:
        """A transaction has blocks that may be dirty in place, to change them or to free them."""

    def begun(self, transaction: Transaction) -> None:
        """A transaction has begun: its commit is due in a while."""

    def stop(self, task: Task) -> None:
        """jbd2_journal_stop(): give back what was not used."""
        handle: Handle | None = task.handle
        if handle is None:
            raise InvariantError(f"task {task.name} stops a handle that it has not")
        task.ps += self._s_stop.charge(1)
        handle.refs -= 1
        if handle.refs:
            return
        task.ps += self._s_last.charge(1)
        transaction = handle.transaction
        transaction.credits -= handle.credits
        transaction.updates -= 1
        task.handle = None
        if not transaction.updates and transaction.drained is not None:
            transaction.drained.succeed()
            transaction.drained = None

    # -- blocks ------------------------------------------------------------------------------------

    def get_write_access(self, task: Task, block: int) -> None:
        """jbd2_journal_get_write_access(): this handle is about to change a block."""
        task.ps += self._s_get.charge(1)
        transaction = self._of(task)
        if block in transaction.files:
            return
        task.ps += self._s_do_get.charge(1)
        committing = self.committing
        if committing is None or block not in committing.files:
            task.ps += self._s_file.charge(1)
        transaction.files[block] = RESERVED
        self.filed([block])

    def journal_row(self, first: int, count: int) -> None:
        """
        Have the running transaction change `count` blocks from `first` on, all new to it or none, in handles
        that had the credits: what get_write_access() and dirty_metadata() do, their calls not charged.
        """
        running = self.running
        assert running is not None
        files, blocks = running.files, range(first, first + count)
        if first not in files:
            self.filed(blocks)
        if files.get(first) != METADATA:
            running.credits += count
            files.update(dict.fromkeys(blocks, METADATA))

    def lists(self, block: int) -> tuple[int, int]:
        """Return on which list of the running, and of the committing, transaction a block is; 0: on none."""
        running, committing = self.running, self.committing
        return (
            running.files.get(block, 0) if running is not None else 0,
            committing.files.get(block, 0) if committing is not None else 0,
        )

    def on_lists(self, first: int, count: int, lists: tuple[int, int]) -> int:
        """Return how many of `count` blocks, from `first` on, are on the same lists, see lists()."""
        if self.running is not None:
            count = _alike(self.running.files, first, count, lists[0])
        if self.committing is not None:
            count = _alike(self.committing.files, first, count, lists[1])
        return count

    def rows_fit(self, credits: int, used: int, most: int) -> int:
        """Return how many handles of `credits` blocks, at most, fit, each of which uses `used` of them."""
        running = self.running
        if running is None or running.locked or running.credits + credits > self.limit:
            return 0
        return min(most, (self.limit - running.credits - credits) // used + 1) if used else most

    def get_create_access(self, task: Task, block: int) -> None:
        """jbd2_journal_get_create_access(): a new block."""
        task.ps += self._s_create.charge(1)
        transaction = self._of(task)
        transaction.revoked.pop(block, None)
        transaction.forgotten.pop(block, None)
        if block not in transaction.files:
            task.ps += self._s_file.charge(1)
            transaction.files[block] = RESERVED

    def dirty_metadata(self, task: Task, block: int) -> None:
        """jbd2_journal_dirty_metadata(): the handle has changed a block."""
        task.ps += self._s_dirty.charge(1)
        self.dirtied(task, block)

    def dirtied(self, task: Task, block: int) -> None:
        """Note a changed block, the call itself not charged."""
        handle: Handle | None = task.handle
        assert handle is not None
        files = handle.transaction.files
        if files.get(block) == METADATA:
            return
        if block not in files:
            raise InvariantError(f"block {block} is changed without access to it")
        handle.credits -= 1
        if handle.credits < 0:
            raise InvariantError(f"a handle of {task.name} has no credits left for block {block}")
        committing = self.committing
        if committing is None or block not in committing.files:
            task.ps += self._s_file.charge(1)
        files[block] = METADATA

    def revoke(self, task: Task, block: int) -> None:
        """jbd2_journal_revoke(): a block is freed; older copies in the log must not come back."""
        task.ps += self._s_revoke.charge(1)
        self._of(task).revoked[block] = True
        self.forget(task, block)

    def forget(self, task: Task, block: int) -> None:
        """jbd2_journal_forget(): a block is freed; what it held is neither logged nor written in place."""
        task.ps += self._s_forget.charge(1)
        transaction = self._of(task)
        if transaction.files.pop(block, 0) == METADATA:
            task.handle.credits += 1
        if self.committing is not None and block in self.committing.files:
            transaction.forgotten[block] = True
        elif self.awaits_checkpoint(block):
            transaction.forgotten[block] = True
            task.ps += self._s_file_forgotten.charge(1)
        self.filed([block])

    def awaits_checkpoint(self, block: int) -> bool:
        """Tell whether a committed transaction of the log has a block (b_cp_transaction)."""
        raise NotImplementedError

    def file_inode(self, task: Task, number: int, what: int) -> None:
        """jbd2_journal_file_inode(): the commit is to wait for an inode's data, or to write it."""
        task.ps += self._s_inode[what].charge(1)
        inodes = self._of(task).inodes
        inodes[number] = inodes.get(number, 0) | what

    def _of(self, task: Task) -> Transaction:
        handle: Handle | None = task.handle
        if handle is None:
            raise InvariantError(f"task {task.name} changes metadata without a handle")
        return handle.transaction


def _alike(files: dict[int, int], first: int, count: int, value: int) -> int:
    """Return how many blocks from `first` on are on that list of a transaction (0: on none)."""
    blocks = range(first, first + count)
    if not value and files.keys().isdisjoint(blocks):
        return count
    for block in blocks:
        if files.get(block, 0) != value:
            return block - first
    return count
