"""
For all tests: Hypothesis draws the same inputs everywhere, and times nothing; Ctrl-C is a signal as in a
terminal; the garbage collector looks only at what tests make; our own code is hashed once; numpy computes
on one core.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys

import pytest
from hypothesis import settings

# Two cores on a small matrix wait more for each other than they compute; for what tests start, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A deadline would be a timed test, and machines are shared.
settings.register_profile("readpath", deadline=None, derandomize=True, database=None)
settings.load_profile("readpath")

LONGEST = (
    "records/test_kernel_cases",
    "report/test_legible",
    "report/test_committed_figures",
    "shipped/test_wheel",
    "calibrate/test_write_times",
    "records/test_published",
    "cli/test_cli",
    "cli/test_crashes",
    "cli/test_guard",
    "notebooks/test_notebooks",
    "fuzz/test_fuzz",
    "records/test_versions",
    "claims/test_mutations",
    "calibrate/test_costs",
    "calibrate/test_runs",
    "records/test_fuzzed_records",
    "experiment/test_failed_cells",
    "machine/test_written_tags",
    "experiment/test_runner",
    "docs/test_readme",
    "records/test_write_cases",
    "calibrate/test_write_costs",
    "machine/test_own_parts",
    "claims/test_sensitivity",
    "docs/test_commands",
    "records/test_falsified_records",
    "machine/test_written_images",
    "crypto/test_key_leaks",
    "paths/test_write_rows",
    "crash/test_clones",
)
"""The files that take longest, first: a core that gets one last would work alone (pytest --durations=0)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of LONGEST first, in its order; the others stay as they are."""
    place = {name: number for number, name in enumerate(LONGEST)}

    def key(item: pytest.Item) -> int:
        return place.get(f"{item.path.parent.name}/{item.path.stem}", len(LONGEST))

    items.sort(key=key)


def pytest_collection_finish() -> None:
    """
    Take thousands of collected tests and all modules out of each collection of garbage, and make those rarer:
    report/test_legible.py alone takes a tenth less.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    _hash_our_code_once()


def _hash_our_code_once() -> None:
    """Read our own files once in a process for their digest, 15 ms, which names all images and runs."""
    for name in ("sim.volume.images", "sim.experiment.versions"):
        if (module := sys.modules.get(name)) is not None:
            module.code_digest = functools.cache(module.code_digest)


# A shell that starts pytest in the background has it ignore SIGINT, and so would every process a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
