"""
For all tests: Hypothesis draws the same inputs everywhere, and times nothing.
"""

from __future__ import annotations

from hypothesis import settings

# A deadline would be a timed test, and machines are shared.
settings.register_profile("readpath", deadline=None, derandomize=True, database=None)
settings.load_profile("readpath")
