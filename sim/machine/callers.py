"""
Who calls what a ledger's stacks begin with: from the system call, the interrupt or the worker thread down.

Code below a border that several callers cross (the mapping, the block layer, a completion) declares its sites
without them. Here their stacks get the functions that all of those callers have in common, and no more: what
lies between is left out, as are functions that the compiler has inlined. So no stack names a caller that was
not there. Names are of Linux 6.1; the ledger's other names (3.16) are put in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sim.block.drivers.modules import DRIVERS
from sim.block.queue.sites import RUN
from sim.engine.ledger import IRQ, KWORKER, TASK, CallRow, Charge, version_stack
from sim.machine.machine import Machine

SYSCALL = "entry_SYSCALL_64"
INTERRUPT = "asm_common_interrupt"
SOFTIRQ = f"{INTERRUPT};irq_exit_rcu"
WORKER = "worker_thread"
KJOURNALD = "ret_from_fork;kthread;kjournald2"
ROOTS = {TASK: (SYSCALL, "ret_from_fork", INTERRUPT), IRQ: (INTERRUPT,), KWORKER: (WORKER,)}
"""
Where the stacks of a context may begin. A task has calls of an interrupt where the end of a bio is charged
with its making (bvec_free).
"""

_PAGES = "filemap_read;filemap_get_pages"
_OTHER_CALLS = {
    "vfs_open": f"{SYSCALL};do_sys_openat2",
    "ext4_xattr_set": f"{SYSCALL};vfs_setxattr",
    "ext4_unlink": f"{SYSCALL};vfs_unlink",
    "ext4_sync_file": f"{SYSCALL};vfs_fsync_range",
    "crypt_scatterlist": "filemap_read;ecryptfs_read_folio;ecryptfs_decrypt_page",
    "jbd2_journal_commit_transaction": KJOURNALD,
}
_OF_A_CALL = (
    "jbd2__journal_start",
    "jbd2_journal_get_write_access",
    "jbd2_journal_dirty_metadata",
    "jbd2_log_start_commit",
    "jbd2_log_do_checkpoint",
    "blkdev_issue_flush",
    "memchr_inv",
    "rwsem_down_read_slowpath",
    "rwsem_down_write_slowpath",
)
"""Several system calls come to these."""

_READAHEADS = ("mpage_readahead", "ext4_readahead", "iomap_readahead", "ext4_iomap_readahead")
"""What ->readahead is, by path."""

_NOT_READS = ("vfs_open", "ext4_unlink", "ext4_sync_file", "ext4_xattr_set", "ext4_file_write_iter")
"""A run that has one of these submits bios from elsewhere than reads too."""


def whole_stacks(machine: Machine, rows: Sequence[CallRow]) -> list[CallRow]:
    """Return a ledger's rows with stacks from the root down, sorted as they were; equal ones are one."""
    whole = _Whole(machine, {name for row in rows for name in row.stack.split(";")})
    sums: dict[tuple[str, str, str], CallRow] = {}
    for row in rows:
        stack = whole.stack(row.context, row.stack)
        key = (stack, row.symbol, row.context)
        had = sums.get(key)
        if had is not None:
            calls, units = row.calls + had.calls, row.units + had.units
            row = row._replace(calls=calls, units=units, ps=row.ps + had.ps, mi=row.mi + had.mi)
        sums[key] = row._replace(stack=stack)
    return [sums[key] for key in sorted(sums)]


def whole_stack_of(machine: Machine) -> Callable[[str, str], str]:
    """Return what makes a stack of a context whole, as in whole_stacks() of the ledger's rows at the end."""
    return _Whole(machine, {name for row in machine.ledger.rows() for name in row.stack.split(";")}).stack


def whole_charges(machine: Machine, charges: Sequence[Charge]) -> list[Charge]:
    """Return a ledger's charges likewise."""
    whole = _Whole(machine, {name for charge in charges for name in charge.stack.split(";")})
    sums: dict[tuple[str, str, str], Charge] = {}
    for charge in charges:
        stack = whole.stack(charge.context, charge.stack)
        key = (stack, charge.name, charge.context)
        had = sums.get(key)
        if had is not None:
            charge = charge._replace(calls=charge.calls + had.calls, units=charge.units + had.units)
        sums[key] = charge._replace(stack=stack)
    return [sums[key] for key in sorted(sums)]


class _Whole:
    """The callers of one machine's ledger."""

    def __init__(self, machine: Machine, names: Collection[str]) -> None:
        """`names`: of all symbols that its stacks have."""
        kernel = machine.kernel
        self._callers = {
            (context, version_stack(head, kernel.renamed)[0]): version_stack(callers, kernel.renamed)[0]
            for (context, head), callers in _callers(machine, not any(n in names for n in _NOT_READS)).items()
        }

    def stack(self, context: str, stack: str) -> str:
        """Return a folded stack from its root down."""
        while True:
            callers = self._callers.get((context, stack.partition(";")[0]))
            if callers is None:
                return stack
            stack = f"{callers};{stack}"


def _callers(machine: Machine, only_reads: bool) -> dict[tuple[str, str], str]:
    """Return (context, first symbol of a stack) -> the folded callers before it; a root has none."""
    limits = machine.queue.limits
    driver = DRIVERS[limits.driver]
    reads = "ecryptfs_read_update_atime" if machine.spec.ecryptfs else "ext4_file_read_iter"
    readahead = _PAGES if machine.large_folios else f"{_PAGES};page_cache_ra_unbounded"
    queued = "submit_bio" if limits.bio_based else "blk_finish_plug;__blk_flush_plug;blk_mq_flush_plug_list"
    task = {"filemap_read": f"{SYSCALL};vfs_read;{reads}", "read_pages": readahead, **_OTHER_CALLS}
    task |= dict.fromkeys(_READAHEADS, "read_pages")
    task |= dict.fromkeys(_OF_A_CALL, SYSCALL)
    below = _PAGES if only_reads else SYSCALL
    task |= dict.fromkeys(("ext4_map_blocks", "submit_bio", "blk_finish_plug"), below)
    task |= {driver.queue_rq: queued, "filemap_read_folio": _PAGES}
    task |= {"bio_endio": driver.end or driver.queue_rq, "end_buffer_async_read": "bio_endio"}
    irq = {"bio_endio": driver.end, "end_buffer_async_read": "bio_endio"}
    interrupts = {"scsi_done": INTERRUPT, "blk_mq_complete_request": SOFTIRQ}
    interrupts |= dict.fromkeys(("scsi_complete", "blk_mq_end_request"), SOFTIRQ)
    kworker = dict.fromkeys(("process_one_work", "bio_endio", "end_buffer_async_read"), WORKER)
    kworker[driver.queue_rq] = f"{RUN};blk_mq_dispatch_rq_list"
    tables = {TASK: {**task, **interrupts}, IRQ: {**irq, **interrupts}, KWORKER: kworker}
    return {
        (context, head): callers
        for context, table in tables.items()
        for head, callers in table.items()
        if callers
    }
