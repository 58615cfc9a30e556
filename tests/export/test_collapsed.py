"""Folded stacks: a line each, as stackcollapse makes them."""

from __future__ import annotations

from traced_kit import charged

from sim.export.collapsed import collapsed_lines


def test_a_line_a_stack_with_its_own_cost(reads):
    """Context, callers, symbol; a blank; ns or instructions. Together they are all of calls.parquet."""
    for at, currency in ((1, "ns"), (2, "instructions")):
        lines = list(collapsed_lines(reads, 1, 0, currency))
        found = {}
        for line in lines:
            stack, _, cost = line.rpartition(" ")
            context, _, rest = stack.partition(";")
            found[context, rest] = int(cost)
        assert sorted(lines) == lines or len(set(lines)) == len(lines)
        assert {key: row[at] for key, row in charged(reads, 1).items() if row[at]} == found
