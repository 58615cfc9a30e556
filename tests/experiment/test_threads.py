"""Reading a run starts no thread: one that holds a file of Python can abort the end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "fuzz" / "corpus" / "run" / "small"
TASKS = Path("/proc/self/task")
CODE = """
import os, sys, pathlib
import pyarrow.parquet as pq
from sim.experiment.results import load_run
from sim.experiment.trace import _table
count = lambda: len(os.listdir("/proc/self/task"))
run = pathlib.Path(sys.argv[1])
before = count()
load_run(run)
_table(run / "metrics.parquet")
print(count() - before)
with (run / "metrics.parquet").open("rb") as file:
    pq.ParquetFile(file).read()
print(count() - before)
"""


@pytest.mark.skipif(not TASKS.is_dir(), reason="threads are counted in Linux' /proc")
def test_reading_a_run_starts_no_thread():
    """As many threads after as before; pyarrow's own defaults start some, so that they would be seen."""
    done = subprocess.run([sys.executable, "-c", CODE, str(RUN)], capture_output=True, text=True, check=True)
    ours, default = map(int, done.stdout.split())
    assert 0 == ours
    assert default > 0
