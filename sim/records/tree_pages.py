"""
Where FIEMAP does not say where the blocks of an extent tree lie: in how many pages of the device's own cache.

With blocks as large as a page each has its own. With smaller ones that decides how many pages are inserted
for them, and nothing else that is counted.
"""

from __future__ import annotations

from sim.engine.costs import CostTable
from sim.records.kernel_case import Case, case_tree, run_case
from sim.records.write_back import beside
from sim.units import PAGE_BYTES


def find_tree_pages(cases: list[Case], costs: CostTable) -> dict[str, int]:
    """
    Return, per layout file, in how many pages of the device's cache its tree blocks lie.

    Looked for among all numbers there can be: the least that makes the page-cache insertions of every
    freshly mounted case of the layout right, or most of them. Layouts with blocks as large as a page, without
    tree blocks or with recorded ones, need no entry.
    """
    of_layout: dict[str, list[Case]] = {}
    for case in cases:
        record = case.record
        unknown = case.layout.tree_blocks is None and int(record["block_size"]) < PAGE_BYTES
        told = unknown and record["es"] == "all_cold" and "alloc_page_buffers" in record["counts"]
        if told and case_tree(case, None).blocks:
            of_layout.setdefault(str(record["layout_file"]), []).append(case)
    return {layout: _most_right(found, costs) for layout, found in of_layout.items()}


def _most_right(cases: list[Case], costs: CostTable) -> int:
    """Return the number of pages under which most cases have as many pages with buffers as recorded."""
    count = len(case_tree(cases[0], None).blocks)
    per_page = PAGE_BYTES // int(cases[0].record["block_size"])
    wanted = {
        case.name: int(case.record["counts"]["alloc_page_buffers"])
        - (beside(case.record) or {}).get("alloc_page_buffers", 0)
        for case in cases
    }
    for case in cases:  # one that reads the whole tree tells at once
        if int(case.record["pages_read"]) * PAGE_BYTES >= int(case.record["file_bytes"]):
            apart = run_case(case, costs).ledger.calls()["alloc_page_buffers"]
            return min(max(count - (apart - wanted[case.name]), 1), count)
    rights = {
        pages: sum(
            run_case(case, costs, pages).ledger.calls()["alloc_page_buffers"] == wanted[case.name]
            for case in cases
        )
        for pages in range(-(-count // per_page), count + 1)
    }
    return max(rights, key=lambda pages: rights[pages])
