"""
The discs of a hard disk: where sectors lie, when a head can read them, how long it takes to move.

Sectors fill track after track of a cylinder, cylinder after cylinder, from the outer zone inwards; each zone
has its own number of sectors per track. The start of a track is skewed against the one before by the time of
the switch between them, so a sequential read never waits for a revolution.

A seek over d > 0 cylinders takes a + b * (sqrt(d) - 1), with a the switch to the next cylinder and b such
that the mean over all pairs of cylinders is `average_seek_ns`; the acceleration-limited part of Ruemmler and
Wilkes, "An introduction to disk drive modeling", IEEE Computer 27(3), 1994. Settling is part of it, as in
data sheets.

Left out: remapped sectors, serpentine layouts, the linear part of long seeks, thermal recalibration.
"""

from __future__ import annotations

from bisect import bisect_right
from math import sqrt
from typing import Final

from sim.block.device.constants import HddModel
from sim.units import NS_PER_S

_SECONDS_PER_MINUTE: Final = 60


class Geometry:
    """Where a sector lies, and when a head over its track can read it. Angles are in ns of rotation."""

    def __init__(self, model: HddModel) -> None:
        """Lay `model.sectors` out over zones of equal numbers of cylinders."""
        self.revolution_ns = _SECONDS_PER_MINUTE * NS_PER_S // model.rpm
        self.heads = model.heads
        self._head_switch_ns = model.head_switch_ns
        self._cylinder_switch_ns = model.cylinder_switch_ns
        self._cylinder_skew_ns = (model.heads - 1) * model.head_switch_ns + model.cylinder_switch_ns
        spread = model.outer_track_sectors - model.inner_track_sectors
        per_track = [
            model.outer_track_sectors - spread * zone // max(1, model.zones - 1)
            for zone in range(model.zones)
        ]
        cylinders_per_zone = -(-model.sectors // (sum(per_track) * model.heads))
        self.cylinders = cylinders_per_zone * model.zones
        self._track_sectors = per_track
        self._zone_tracks = cylinders_per_zone * model.heads
        self._zone_sector = [0]
        for sectors in per_track[:-1]:
            self._zone_sector.append(self._zone_sector[-1] + sectors * self._zone_tracks)

    def locate(self, sector: int) -> tuple[int, int, int]:
        """Return track (from the outermost on), sector within the track, and sectors of that track."""
        zone = bisect_right(self._zone_sector, sector) - 1
        per_track = self._track_sectors[zone]
        track, within = divmod(sector - self._zone_sector[zone], per_track)
        return zone * self._zone_tracks + track, within, per_track

    def cylinder(self, sector: int) -> int:
        """Return the cylinder of a sector."""
        return self.locate(sector)[0] // self.heads

    def skew_ns(self, track: int) -> int:
        """Return the angle at which sector 0 of a track begins."""
        cylinder, head = divmod(track, self.heads)
        return (cylinder * self._cylinder_skew_ns + head * self._head_switch_ns) % self.revolution_ns

    def rotation_ns(self, sector: int, arrival_ns: int) -> int:
        """Return how long a head that is over the track at `arrival_ns` waits for the sector to begin."""
        track, within, per_track = self.locate(sector)
        angle = self.skew_ns(track) + within * self.revolution_ns // per_track
        return (angle - arrival_ns) % self.revolution_ns

    def read(self, sector: int, end_sector: int, arrival_ns: int) -> int:
        """Return when all up to `end_sector` is read by a head over the track of `sector` at `arrival_ns`."""
        time_ns = arrival_ns + self.rotation_ns(sector, arrival_ns)
        track, within, per_track = self.locate(sector)
        while True:
            last = min(per_track, within + end_sector - sector)
            time_ns += last * self.revolution_ns // per_track - within * self.revolution_ns // per_track
            sector += last - within
            if sector >= end_sector:
                return time_ns
            # Skew makes the next track begin exactly when the switch is over: there is no wait.
            track += 1
            time_ns += self._head_switch_ns if track % self.heads else self._cylinder_switch_ns
            _, within, per_track = self.locate(sector)

    def passed(self, sector: int, bound_sector: int, head_ns: int, now_ns: int) -> int:
        """
        Return the end of what a head has read by `now_ns` that came to `sector` at `head_ns` and reads on.

        It reads to `bound_sector` at most. Only whole sectors count.
        """
        low, high = sector, bound_sector
        while low < high:
            middle = (low + high + 1) // 2
            if self.read(sector, middle, head_ns) <= now_ns:
                low = middle
            else:
                high = middle - 1
        return low


class SeekCurve:
    """Seek time over distance in cylinders."""

    def __init__(self, model: HddModel, cylinders: int) -> None:
        """Fit the curve to the mean over all ordered pairs of two different cylinders."""
        self._least_ns = model.cylinder_switch_ns
        # Of the c(c-1) ordered pairs, 2(c-d) are d apart. The mean of sqrt(d) over them is
        # sqrt(c) * 8/15 in the limit; the sum is taken where that is too coarse.
        mean_root = sqrt(cylinders) * 8 / 15
        if cylinders < 1_000:
            weights = sum((cylinders - d) * sqrt(d) for d in range(1, cylinders))
            mean_root = 2 * weights / max(1, cylinders * (cylinders - 1))
        excess_ns = model.average_seek_ns - model.cylinder_switch_ns
        self._slope_ns = excess_ns / (mean_root - 1) if mean_root > 1 else 0.0

    def time_ns(self, distance: int) -> int:
        """Return the time in ns to move over `distance` >= 0 cylinders and settle; 0 for none."""
        if distance == 0:
            return 0
        return self._least_ns + round(self._slope_ns * (sqrt(distance) - 1))
