"""
Which way the core runs: compiled to C by mypyc (`make fast`, and the wheels), or as plain Python.

Both give the same bytes. Compiled modules know classes of their own only, so their clock is sim.engine.clock;
plain Python runs on simpy's, unless READPATH_CLOCK=native asks for the other one.
"""

from __future__ import annotations

import os
from typing import Final, cast

import sim.engine.clock
from sim.engine.clock import Clock
from sim.errors import ConfigError

CLOCKS: Final = ("simpy", "native")


def compiled() -> bool:
    """Return whether the core is compiled."""
    return not (sim.engine.clock.__file__ or "").endswith(".py")


def make_clock() -> Clock:
    """Return a new clock for the way the core runs; raises ConfigError for an unknown READPATH_CLOCK."""
    asked = os.environ.get("READPATH_CLOCK") or ("native" if compiled() else "simpy")
    if asked not in CLOCKS:
        raise ConfigError("READPATH_CLOCK", repr(asked), ", ".join(CLOCKS))
    if asked == "native":
        return Clock()
    if compiled():
        raise ConfigError("READPATH_CLOCK", "simpy, but the core is compiled", "native")
    from sim.engine.simpy_clock import SimpyClock

    return cast("Clock", SimpyClock())
