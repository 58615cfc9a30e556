"""
For all tests: Hypothesis draws the same inputs everywhere, and times nothing; Ctrl-C is a signal as in a
terminal.
"""

from __future__ import annotations

import signal

from hypothesis import settings

# A deadline would be a timed test, and machines are shared.
settings.register_profile("readpath", deadline=None, derandomize=True, database=None)
settings.load_profile("readpath")

# A shell that starts pytest in the background has it ignore SIGINT, and so would every process a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
