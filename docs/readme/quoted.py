"""
`make readme`: write into README.md and its documents the numbers that sentences should have; a test compares.
"""

from __future__ import annotations

import sys

from of_experiments import RESULTS
from of_folios import FOLIOS
from of_integrity import INTEGRITY
from of_records import RECORDS, run_the_records
from quote import PAGES, read_pages, written


def main() -> int:
    """Write the numbers into the pages, and print the lines that change."""
    run_the_records()
    old = read_pages()
    new = written(old, (*RESULTS, *FOLIOS, *INTEGRITY, *RECORDS))
    for page, before, after in zip(PAGES, old, new, strict=True):
        page.write_text(after, encoding="utf-8")
        for one, other in zip(before.splitlines(), after.splitlines(), strict=True):
            if one != other:
                print(f"{page.name}\n- {one}\n+ {other}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
