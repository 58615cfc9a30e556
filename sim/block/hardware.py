"""
The hardware below a request queue: what every device model is. It moves time, not bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Hardware:
    """A device that can be read."""

    def submit(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """
        Start a read of `sectors` (>= 1) from `sector` on, now.

        If this returns, `done(token)` is called exactly once, at the time of completion; a bio-based RAM
        device calls it before it returns.
        """
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class WritableHardware(Hardware):
    """A device that can be written to."""

    def write(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """
        Start a write of `sectors` (>= 1) to `sector` on, now; `done` as for `submit`, when the device has it.

        Raises ConfigError if the profile does not say how it is written to.
        """
        raise NotImplementedError

    def write_fua(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """
        Start a write with REQ_FUA, as `write`; `done` when its data is on the medium, whatever else is not.

        Here it is a write and a flush, which any device can do; one that has FUA has a way of its own.
        """
        self.write(sector, sectors, token, lambda written: self.flush(written, done))

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Empty the write cache; `done` as for `submit`, when all taken before is on the medium."""
        raise NotImplementedError
