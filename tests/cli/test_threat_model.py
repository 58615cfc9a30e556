"""docs/threat-model.md: each test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "threat-model.md"


def test_every_row_is_a_test() -> None:
    """A row names a test that exists, or says why there is none."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    rows = [row for row in rows if not row.startswith("| Mallory |")]
    assert len(rows) >= 18
    for row in rows:
        last = row.rstrip("| ").rpartition(" | ")[2]
        named = re.findall(r"`([^`]+)`", last)
        assert named or last.startswith("none: "), row
        file = named[0].partition("::")[0] if named else ""
        for name in named:
            path, _, function = name.partition("::") if ".py" in name else (file, "", name)
            text = (TESTS / path).read_text()
            assert not function or f"def {function}(" in text, name
