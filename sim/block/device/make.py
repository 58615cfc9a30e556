"""
The devices there are: kind -> factory, and the choice by profile.
"""

from __future__ import annotations

from typing import Final

from sim.block.device.hdd import Hdd
from sim.block.device.profile import DeviceProfile
from sim.block.device.ram import NullBlk, Ramdisk
from sim.block.device.ssd import Ssd
from sim.block.hardware import WritableHardware
from sim.engine.clock import Clock
from sim.errors import ConfigError


def _ramdisk(_clock: Clock, profile: DeviceProfile, _seed: int) -> WritableHardware:
    return Ramdisk(profile)


def _null_blk(clock: Clock, profile: DeviceProfile, _seed: int) -> WritableHardware:
    return NullBlk(clock, profile)


def _ssd(clock: Clock, profile: DeviceProfile, seed: int) -> WritableHardware:
    return Ssd(clock, profile, seed)


def _hdd(clock: Clock, profile: DeviceProfile, _seed: int) -> WritableHardware:
    return Hdd(clock, profile)


DEVICES: Final = {"ramdisk": _ramdisk, "null_blk": _null_blk, "ssd": _ssd, "hdd": _hdd}
"""The `kind` of a profile -> who makes its device; null_blk is the null one."""


def make_device(clock: Clock, profile: DeviceProfile, seed: int = 0) -> WritableHardware:
    """Return the device that a profile describes; `seed` decides all that is random in it."""
    if profile.kind not in DEVICES:
        raise ConfigError(f"device {profile.name}", f"kind {profile.kind!r}", ", ".join(DEVICES))
    return DEVICES[profile.kind](clock, profile, seed)
