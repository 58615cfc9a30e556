"""
Where the queue charges its calls: submission, the plug, handing requests to the driver.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

from sim.block.bio import Request
from sim.block.drivers.modules import DRIVERS
from sim.block.drivers.sites import DriverSites
from sim.block.queue.limits import QueueLimits
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger, Site

FLUSH: Final = "blk_finish_plug;__blk_flush_plug"
FLUSHED: Final = f"{FLUSH};blk_mq_flush_plug_list"
RUN: Final = "process_one_work;blk_mq_sched_dispatch_requests"
"""kblockd runs the queue; blk_mq_run_work_fn() and __blk_mq_run_hw_queue() between the two are inlined."""


class IssueSites:
    """Handing requests to the driver in one context, below one stack, and what a device of memory copies."""

    def __init__(self, ledger: Ledger, context: str, stack: str, limits: QueueLimits, listed: bool) -> None:
        driver = DRIVERS[limits.driver]
        self._calls = DriverSites(ledger, context, stack, driver.issue_calls(listed))
        self._copies = bool(limits.copies)
        self._copy = ledger.site(context, driver.queue_rq, limits.copies, unit=limits.copies)

    def charge(self, requests: list[Request]) -> int:
        """Count requests that are handed over at once; return their cost in ps."""
        ps = self._calls.charge(requests)
        if self._copies:
            sectors = 0
            for request in requests:
                sectors += request.sectors
            ps += self._copy.charge_units(len(requests), sectors)
        return ps


class SubmitSites:
    """
    The sites of a queue, down to the driver.

    below: the folded stack of a stacked device's driver that hands bios down (it enters at
    submit_bio_noacct()); empty for a queue that file systems submit to. A plug is flushed at its end (flush),
    before its task sleeps (sleep_flush), when it is full (early). kick: a worker is asked to run the queue.
    """

    def __init__(self, ledger: Ledger, limits: QueueLimits, below: str) -> None:
        driver = DRIVERS[limits.driver]
        site, self._ledger = ledger.site, ledger
        entry = below or "submit_bio"
        again = f"{entry};submit_bio_noacct"
        submit = f"{again};submit_bio_noacct_nocheck;__submit_bio"
        chain = f"{'' if below else entry} {again} {again};submit_bio_noacct_nocheck"
        self._entered = again if below else f"{entry} {again}"
        self._alone = alone = f"{submit};blk_mq_submit_bio"
        self._chain = f"{chain} {submit}"
        if limits.bio_based:
            self.submit = site(TASK, "", f"{chain} {submit} {submit};{driver.queue_rq}")
        else:
            words = f"{chain} {submit} {alone}"
            merge = f"{alone};blk_attempt_plug_merge"
            self.submit = site(TASK, "", f"{words} {merge}", unit="blk_mq_submit_bio")
        checked = again if limits.rest_checked else ""
        cut = f"{alone};bio_alloc_bioset {checked} {again};submit_bio_noacct_nocheck {submit} {alone}"
        self.split = site(TASK, "", cut)
        self.getrq = site(TASK, alone, "__blk_mq_alloc_requests")
        self.keyslot = site(TASK, alone, "__blk_crypto_rq_get_keyslot")
        self.flush = site(TASK, "", f"{FLUSH} {FLUSHED}")
        self.sleep_flush = site(TASK, "", f"{FLUSH}*2 {FLUSHED}*2")
        self.early = site(TASK, alone, "blk_mq_flush_plug_list")
        self.request = site(TASK, "", f"{FLUSHED}:request")
        inserts = "blk_mq_insert_requests"
        self.insert = site(TASK, FLUSHED, inserts, unit=inserts)
        self.insert_one = site(TASK, alone, "blk_mq_sched_insert_request")
        self.issue_list = IssueSites(ledger, TASK, FLUSHED, limits, limits.lists)
        self.issue_each = IssueSites(ledger, TASK, FLUSHED, limits, listed=False)
        self.issue_alone = IssueSites(ledger, TASK, alone, limits, listed=False)
        self.copy = site(TASK, driver.queue_rq, limits.copies, unit=limits.copies)

    @cached_property
    def submit_flush(self) -> Site:
        """
        A bio that merges with none, into the machinery of flushes; its unit: segments.

        Declared when it is first passed: a machine that only reads needs no costs of writing.
        """
        return self._ledger.site(TASK, "", f"{self._chain} {self._alone}", unit="blk_mq_submit_bio")

    @cached_property
    def drop_flush(self) -> Site:
        """A bare flush of a device that has no cache."""
        return self._ledger.site(TASK, "", self._entered)

    @cached_property
    def insert_flush(self) -> Site:
        """Taking a request of which a flush is to do something."""
        return self._ledger.site(TASK, self._alone, "blk_insert_flush")

    @cached_property
    def first_step(self) -> Site:
        """Its first step, if it has several."""
        return self._ledger.site(TASK, f"{self._alone};blk_insert_flush", "blk_flush_complete_seq")

    @cached_property
    def tag_sleep(self) -> Site:
        """Sleeping for a tag, as often as it is done."""
        return self._ledger.site(
            TASK, f"{self._alone};__blk_mq_alloc_requests", "io_schedule io_schedule;schedule"
        )


def kickers(end: str) -> dict[str, str]:
    """Return the folded stack of who asks kblockd to run the queue, by context. end: the driver's."""
    return {TASK: FLUSHED, IRQ: end}


class RunSites:
    """
    The sites of running a queue whose requests wait: by the task (`each`, or `alone`), or by kblockd.

    end: the driver's stack that requests end below. kick: asking kblockd, by context. tag_wake: waking who
    sleeps for a tag. ipi: the entry of the interrupt with which a core sends a completion on.
    """

    def __init__(self, ledger: Ledger, limits: QueueLimits, end: str, submit: SubmitSites) -> None:
        site = ledger.site
        self.each, self.alone = submit.issue_each, submit.issue_alone
        listed = "blk_mq_dispatch_rq_list"
        self.by_worker = IssueSites(ledger, KWORKER, f"{RUN};{listed}", limits, listed=False)
        self.kick = {
            context: site(context, stack, "mod_delayed_work_on") for context, stack in kickers(end).items()
        }
        self.run = site(KWORKER, "", f"process_one_work {RUN}")
        self.dispatch = site(KWORKER, RUN, listed, unit=listed)
        self.tag_wake = site(IRQ, end, "try_to_wake_up")
        self.ipi = site(IRQ, "", "asm_common_interrupt" if DRIVERS[limits.driver].complete.once else "")
