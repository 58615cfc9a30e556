"""The ledger in steps: together they are the ledger's rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.engine.costs import load_costs
from sim.engine.ledger import IRQ, TASK, Ledger
from sim.engine.tally import Tally

COSTS = load_costs("linux-6.1-epyc-7001")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=20))
def test_the_steps_add_up_to_the_ledger(charges):
    """Whatever is charged, and wherever one looks in between; sites declared late and fused ones included."""
    ledger = Ledger(COSTS)
    reads = ledger.site(TASK, "", "vfs_read vfs_read;filemap_read")
    ends = ledger.site(IRQ, "", "bio_endio bio_put")
    sites = [reads, ends, ledger.fuse(reads, ledger.site(TASK, "vfs_read", "page_cache_sync_ra"))]
    tally = Tally(ledger)
    sites.append(ledger.site(TASK, "filemap_read", "copy_page_to_iter", unit="copy_page_to_iter"))
    steps, paid = [], 0
    for which, passes, look in charges:
        site = sites[which]
        paid += site.charge_units(passes, 4 * passes) if which == 3 else site.charge(passes)
        if look:
            steps.append(tally.take())
    steps.append(tally.take())
    assert () == tally.take()
    assert paid == sum(map(tally.ps_of, steps))
    sums: dict[tuple[str, str], list[int]] = {}
    for row in (row for step in steps for row in tally.rows(step)):
        entry = sums.setdefault((row.stack, row.context), [0, 0, 0])
        for at, value in enumerate((row.calls, row.ps, row.mi)):
            entry[at] += value
    assert {(row.stack, row.context): [row.calls, row.ps, row.mi] for row in ledger.rows()} == sums
