"""
`make readme`: write into README.md the numbers that its sentences should have; a test compares.
"""

from __future__ import annotations

import sys

from of_experiments import RESULTS
from of_folios import FOLIOS
from of_records import RECORDS, run_the_records
from quote import README, written


def main() -> int:
    """Write the numbers into README.md, and print the lines that change."""
    run_the_records()
    old = README.read_text(encoding="utf-8")
    new = written(old, (*RESULTS, *FOLIOS, *RECORDS))
    README.write_text(new, encoding="utf-8")
    for before, after in zip(old.splitlines(), new.splitlines(), strict=True):
        if before != after:
            print(f"- {before}\n+ {after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
