"""
What each driver calls for requests: on their way to the hardware, and when they come back.

The calls are written as trees: a line a call, indented below its caller; a caller in brackets is counted
elsewhere; "symbol:segment" is one segment more in a call that is counted. Which calls there are, how many and
of what, is recorded (results/kernel: symbols-drivers.jsonl), but for the doorbell and the entry of an
interrupt, whose time no count of instructions shows: the costs of `writel` and `asm_common_interrupt` are
assumptions.

A handler looks for further requests until it finds none, so one that completes while it is at work brings no
interrupt of its own.

Left out: IOMMUs, bounce buffers, errors, timeouts, interrupts that the device moderates, those that find
nothing left to do, a device that asks for no doorbell while it is at work, drivers of eMMC and UFS (profiles
name the nearest).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Final

_INDENT = 4


def tree_words(tree: str, below: str = "") -> str:
    """Return a tree, below a folded stack, as words of Ledger.site()."""
    words, stack = [], list[str]()
    for line in tree.splitlines():
        name = line.strip()
        if name:
            symbol, colon, unit = name.strip("()").partition(":")
            stack[(len(line) - len(line.lstrip())) // _INDENT :] = [symbol]
            if not name.startswith("("):
                words.append(";".join([below, *stack] if below else stack) + colon + unit)
    return " ".join(words)


@dataclass(frozen=True, slots=True)
class Calls:
    """
    Calls for requests, as words of Ledger.site().

    once: for any number at a time. request: of every request. one, several: of a request with a single
    segment, with more. bio, segment: of each bio, each segment of the latter but the first. run: of each run
    of memory but the first (segments side by side in one page are one run). table, list: of a request with
    more than two segments, runs, which does not keep them in itself. entry: of each entry of the table, whose
    sizes are powers of two from 8 on.
    """

    once: str = ""
    request: str = ""
    one: str = ""
    several: str = ""
    bio: str = ""
    segment: str = ""
    run: str = ""
    table: str = ""
    entry: str = ""
    list: str = ""


def _symbols(calls: Calls) -> frozenset[str]:
    """Return the symbols of all words, without their callers."""
    words = " ".join(getattr(calls, field.name) for field in fields(calls))
    return frozenset(word.partition(":")[0].rpartition(";")[2] for word in words.split())


@dataclass(frozen=True, slots=True)
class Driver:
    """
    One driver.

    queue_rq: the function that takes a request, or a bio. queue_rqs: the one that takes a plug's list, "" if
    there is none; where there is, `issue` is its. In `complete`, once: of an interrupt, however many requests
    it finds done. end: the folded stack that bios are ended below. hard_irq: that is in the hard interrupt on
    any machine, not in a softirq where there are more CPUs than queues. virt_boundary: see queue/gaps.py.
    queue_per_cpu: the device has a hardware queue, and an interrupt, for every core; else one.
    max_segment_sectors: what a segment may have (max_segment_size); 0: no limit.
    """

    queue_rq: str
    queue_rqs: str = ""
    issue: Calls = field(default_factory=Calls)
    complete: Calls = field(default_factory=Calls)
    end: str = ""
    hard_irq: bool = False
    virt_boundary: bool = False
    queue_per_cpu: bool = False
    max_segment_sectors: int = 128

    @property
    def symbols(self) -> frozenset[str]:
        """All that it calls."""
        return _symbols(self.issue) | _symbols(self.complete)

    @property
    def of_the_device(self) -> frozenset[str]:
        """What it calls as often as the device has it: for an interrupt, and for a doorbell."""
        rung = _symbols(Calls(self.issue.once)) - {self.queue_rqs}
        return rung | _symbols(Calls(self.complete.once))

    def issue_calls(self, listed: bool) -> Calls:
        """Return what issuing calls: as a list, or each request by itself."""
        if listed or not self.queue_rqs:
            return self.issue
        words = asdict(self.issue).items()
        given = {name: said.replace(self.queue_rqs, self.queue_rq) for name, said in words}
        return Calls(**given | {"once": "", "request": f"{given['once']} {given['request']}"})


END: Final = """
blk_update_request
blk_update_request:bio
__blk_mq_end_request
blk_mq_free_request
"""
"""blk_mq_end_request(), or scsi_end_request(), for one request of one bio."""
HANDLE: Final = "asm_common_interrupt;__common_interrupt;handle_edge_irq"
_INTERRUPT: Final = tree_words("""
asm_common_interrupt
    __common_interrupt
        handle_edge_irq
""")


def interrupt(handler: str) -> str:
    """Return what one interrupt calls, as words: its entry, and a driver's handler, a tree, below HANDLE."""
    return f"{_INTERRUPT} {tree_words(handler, HANDLE)}"
