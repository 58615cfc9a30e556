"""
The fit of a device: parallelism and the controller's pace by simulation, the rest as device_told tells it.

What IOPS do as reads in flight become more tells two things that look alike from afar: units that are taken
(random reads meet on one) and a controller that takes commands one by one. `units` and `command_ns` are those
whose simulated IOPS are nearest, in the sum of squares of logarithms; each is told only if the rows rule out
what it would be without a limit: as many units as MOST_UNITS, a command of 0 ns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.block.device.profile import DeviceProfile
from sim.calibrate.device_jobs import simulate_job, with_model
from sim.calibrate.device_told import HostOf, Told, Untold
from sim.calibrate.fio_results import FioRow
from sim.units import NS_PER_S

MOST_UNITS = 512
LEAST_NOISE = 0.01
"""Of a simulated job's IOPS, for it is finite."""
_SIGMAS = 2.0
_ROUNDS = 6


@dataclass
class DepthFit:
    """
    Units and command of a device by the rows of one size. `profile` has all that is not sought.

    latency_ns: command_ns and flash_read_ns together; fixed: constants that are given ("units",
    "command_ns", "flash_read_ns").
    """

    profile: DeviceProfile
    rows: Sequence[FioRow]
    host: HostOf
    latency_ns: float
    fixed: Mapping[str, float]
    _known: dict[tuple[int, int], tuple[float, ...]] = field(default_factory=dict)

    @property
    def sought(self) -> list[str]:
        """The constants that are to be found."""
        return [name for name in ("units", "command_ns") if name not in self.fixed]

    def flash_ns(self, command_ns: float) -> int:
        """Return what is left of the latency."""
        return round(self.fixed.get("flash_read_ns", max(self.latency_ns - command_ns, 0)))

    def off(self, units: int, command_ns: int) -> tuple[float, ...]:
        """Return log(simulated IOPS / measured IOPS) of each row."""
        key = (units, command_ns)
        if key not in self._known:
            flash_ns = self.flash_ns(command_ns)
            device = with_model(self.profile, units=units, command_ns=command_ns, flash_read_ns=flash_ns)
            self._known[key] = tuple(
                math.log(simulate_job(device, row, self.host(row)).iops / row.iops) for row in self.rows
            )
        return self._known[key]

    def misfit(self, units: int, command_ns: int) -> float:
        """Return the sum of squares of what rows are off by."""
        return sum(one * one for one in self.off(units, command_ns))

    def slope(self, units: int, command_ns: int, other_ns: int) -> tuple[float, ...]:
        """Return by how much each row moves a ns of command, between two of them."""
        pairs = zip(self.off(units, command_ns), self.off(units, other_ns), strict=True)
        return tuple((there - here) / (other_ns - command_ns) for here, there in pairs)

    def best_command(self, units: int) -> tuple[float, int]:
        """
        Return (misfit, command_ns) of the command that fits best with so many units.

        A plateau may be the units' or the controller's: it is sought from both ends.
        """
        if "command_ns" in self.fixed:
            command = round(self.fixed["command_ns"])
            return self.misfit(units, command), command
        for start in (0, self.most_command_ns()):
            self._descend(units, start)
        return min((self.misfit(units, one), one) for other, one in list(self._known) if other == units)

    def _descend(self, units: int, command: int) -> None:
        """Go from a command to the nearest that fits best, after Gauss and Newton."""
        most = self.most_command_ns()
        for _ in range(_ROUNDS):
            slope = self.slope(units, command, command + self.step_ns(command))
            steepness = sum(one * one for one in slope)
            if not steepness:
                break
            off = self.off(units, command)
            wanted = command - sum(a * b for a, b in zip(slope, off, strict=True)) / steepness
            reached = round(min(max(wanted, 0), most))
            settled = abs(reached - command) <= 0.002 * command
            command = reached
            if settled:
                break
        self.off(units, command)

    @staticmethod
    def step_ns(command_ns: int) -> int:
        """Return how far away a slope is looked for."""
        return max(command_ns // 50, 20)

    def most_command_ns(self) -> int:
        """Return a command that no row could be as quick with."""
        slowest = int(1.1 * NS_PER_S / max(row.iops for row in self.rows))
        return slowest if "flash_read_ns" in self.fixed else min(slowest, int(self.latency_ns))

    def best_units(self) -> dict[int, tuple[float, int]]:
        """Return units -> (misfit, command_ns), of powers of two and of what lies round the best."""
        if "units" in self.fixed:
            units = round(self.fixed["units"])
            return {units: self.best_command(units)}
        found = {1 << power: self.best_command(1 << power) for power in range(MOST_UNITS.bit_length())}
        step = min(found, key=lambda units: found[units]) // 2
        while step:
            best = min(found, key=lambda units: found[units])
            for units in (best - step, best + step):
                if 1 <= units <= MOST_UNITS and units not in found:
                    found[units] = self.best_command(units)
            step //= 2
        return found

    def limit(self, best: float) -> float:
        """Return up to which misfit another value fits as well, within two standard errors."""
        noise = max(best / (len(self.rows) - len(self.sought)), LEAST_NOISE**2)
        return best + _SIGMAS**2 * noise


def fit_depth(fit: DepthFit) -> dict[str, Told | Untold]:
    """Return what the rows say of units and command_ns; of those fixed, nothing."""
    if len(fit.rows) <= len(fit.sought):
        reason = f"more depths than {len(fit.sought)} are needed, there are {len(fit.rows)}"
        return {name: Untold(reason) for name in fit.sought}
    found = fit.best_units()
    units = min(found, key=lambda units: found[units])
    misfit, command = found[units]
    limit = fit.limit(misfit)
    names = ", ".join(row.name for row in fit.rows)
    off = math.sqrt(misfit / len(fit.rows))
    source = f"IOPS of {names}: the simulated ones are off by {off:.1%} (root mean square)"
    told: dict[str, Told | Untold] = {}
    if "units" in fit.sought:
        within = [other for other in found if found[other][0] <= limit]
        reason = f"{names} are as well explained by any number from {min(within)} on"
        told["units"] = _told(float(units), within, source) if max(within) < MOST_UNITS else Untold(reason)
    if "command_ns" in fit.sought:
        slope = fit.slope(units, command, command + fit.step_ns(command))
        half = math.sqrt((limit - misfit) / max(sum(one * one for one in slope), 1e-18))
        without = min(fit.misfit(other, 0) for other in found)
        most = min(command + half, fit.most_command_ns())
        reason = f"{names} are as well explained by any time from 0 to {most:.0f} ns"
        near = (command - half, command + half)
        told["command_ns"] = _told(float(command), near, source) if without > limit else Untold(reason)
    return told


def _told(value: float, within: Sequence[float], source: str) -> Told:
    return Told(value, (max(within) - min(within)) / 2 / value if value else 0.0, source)
