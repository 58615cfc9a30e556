"""Who reads a file beside those that write it finds the blocks that it has got meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_cells import cell_text, played

VOLUME = """
block_size = "4KiB"
journal = "4MiB"
files = [{ name = "f", size = "256KiB", layout = { kind = "KIND" } }]
"""
JOBS = """
job = [
    { name = "w", filename = "f", rw = "randwrite", bs = "8k", io_size = "128k", end_fsync = "1" },
    { name = "r", filename = "f", rw = "read", bs = "16k", stonewall = 1 },
]
"""


@pytest.mark.parametrize("kind", ["hole", "unwritten"])
@pytest.mark.parametrize("path", ["page_io", "mpage"])
def test_a_job_that_only_reads(tmp_path: Path, kind: str, path: str) -> None:
    """It drops the cached pages, and reads them from where they came to lie."""
    text = cell_text(VOLUME.replace("KIND", kind), JOBS, crash="")
    run = played(text.replace("title", f'read_path = "{path}"\ntitle', 1), tmp_path)
    assert run.result.metrics["digest_ok"] == 1
    assert run.result.metrics["reads"] == 16
