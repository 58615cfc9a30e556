"""
Devices that are memory: brd and null_blk.

They take no device time. The copy of the data is work of the CPU that submits (brd, and null_blk with
memory_backed and the completion in softirq): the request queue charges it, the machine's profile has its
cost.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from sim.block.device.profile import DeviceProfile
from sim.block.hardware import WritableHardware
from sim.engine.clock import Clock


@mypyc_attr(allow_interpreted_subclasses=True)
class Ramdisk(WritableHardware):
    """
    A bio-based RAM device (drivers/block/brd.c, Linux 6.1): `done` is called before `submit` returns.

    Left out: allocation of pages on first write.
    """

    def __init__(self, profile: DeviceProfile) -> None:
        """Take the profile; a device without time needs no clock."""
        self.profile = profile

    def submit(
        self,
        sector: int,  # noqa: ARG002  # the protocol's, no matter to memory
        sectors: int,  # noqa: ARG002  # likewise
        token: object,
        done: Callable[[object], None],
    ) -> None:
        """Complete at once."""
        done(token)

    def write(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Complete as a read does."""
        self.submit(sector, sectors, token, done)

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Complete at once: there is nothing to empty."""
        done(token)


@mypyc_attr(allow_interpreted_subclasses=True)
class NullBlk(WritableHardware):
    """
    A blk-mq RAM device (drivers/block/null_blk, Linux 6.1, irqmode=softirq, completion_nsec=0).

    A command completes at the same instant, but in an event of its own: the softirq runs when the submitter
    has let go of its CPU. Left out: timer completion, zones, bad blocks, throttling.
    """

    def __init__(self, clock: Clock, profile: DeviceProfile) -> None:
        """Take the clock on which commands complete."""
        self.profile = profile
        self._call = clock.call

    def submit(
        self,
        sector: int,  # noqa: ARG002  # the protocol's, no matter to memory
        sectors: int,  # noqa: ARG002  # likewise
        token: object,
        done: Callable[[object], None],
    ) -> None:
        """Complete in an event of this instant."""
        self._call(0, done, token)

    def write(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Complete as a read does."""
        self.submit(sector, sectors, token, done)

    def write_fua(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Complete as a read does: there is nothing to write past."""
        self.submit(sector, sectors, token, done)

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Complete in an event of this instant: there is nothing to empty."""
        self._call(0, done, token)
