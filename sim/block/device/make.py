"""
The choice of a device model by profile.
"""

from __future__ import annotations

from sim.block.device.hdd import Hdd
from sim.block.device.profile import DeviceProfile
from sim.block.device.ram import NullBlk, Ramdisk
from sim.block.device.ssd import Ssd
from sim.block.hardware import WritableHardware
from sim.engine.clock import Clock
from sim.errors import ConfigError


def make_device(clock: Clock, profile: DeviceProfile, seed: int = 0) -> WritableHardware:
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
