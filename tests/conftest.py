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
    "shipped/test_wheel",
    "cli/test_cli",
    "fuzz/test_fuzz",
    "calibrate/test_costs",
    "calibrate/test_runs",
    "cli/test_crashes",
    "machine/test_own_parts",
    "machine/test_written_images",
    "docs/test_crash",
    "cli/test_guard",
    "docs/test_readme",
    "report/test_committed_figures",
    "claims/test_mutations",
    "calibrate/test_features",
    "records/test_fuzzed_records",
    "experiment/test_runner",
    "cli/test_every_verb",
    "notebooks/test_notebooks",
    "records/test_published",
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
