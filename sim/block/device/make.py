"""
The device below the request queue: its protocol, and the choice of a model by profile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sim.block.device.hdd import Hdd
from sim.block.device.profile import DeviceProfile
from sim.block.device.ram import NullBlk, Ramdisk
from sim.block.device.ssd import Ssd
from sim.engine.clock import Clock
from sim.errors import ConfigError


class Device(Protocol):
    """
    A device. It moves time, not bytes: those come from the store, and a write's go where its sender puts
    them.
    """

    profile: DeviceProfile

    def submit(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """
        Start a read of `sectors` (>= 1) from `sector` on, now.

        If this returns, `done(token)` is called exactly once, at the time of completion; a bio-based RAM
        device calls it before it returns.
        """
        ...

    def write(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """
        Start a write of `sectors` (>= 1) to `sector` on, now; `done` as for `submit`, when the device has it.

        Raises ConfigError if the profile does not say how it is written to.
        """
        ...

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Empty the write cache; `done` as for `submit`, when all taken before is on the medium."""
        ...


def make_device(clock: Clock, profile: DeviceProfile, seed: int = 0) -> Device:
    """Return the device that a profile describes; `seed` decides all that is random in it."""
    match profile.kind:
        case "ramdisk":
            return Ramdisk(profile)
        case "null_blk":
            return NullBlk(clock, profile)
        case "ssd":
            return Ssd(clock, profile, seed)
        case "hdd":
            return Hdd(clock, profile)
    raise ConfigError(f"device {profile.name}", f"kind {profile.kind!r}", "ramdisk, null_blk, ssd, hdd")
