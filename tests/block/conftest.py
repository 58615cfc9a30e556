"""What the device tests share: a bench that drives a device and keeps its whole log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from device_models import HDD, SSD

from sim.block.device.constants import HddModel, Model, SsdModel
from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile
from sim.block.hardware import WritableHardware
from sim.engine.mode import make_clock


class Bench:
    """A device on a clock of its own; `log` holds (time in ns, what, token) of each submit and completion."""

    def __init__(self, model: Model, seed: int = 0) -> None:
        kind, base = ("hdd", "hdd") if isinstance(model, HddModel) else ("ssd", "nvme")
        profile = replace(load_device_profile(base), name="bench", kind=kind, model=model)
        self.clock = make_clock()
        self.device: WritableHardware = make_device(self.clock, profile, seed)
        self.log: list[tuple[int, str, Any]] = []

    def submit(
        self, sector: int, sectors: int, token: object, then: Callable[[], None] | None = None
    ) -> None:
        """Submit now; log it, and its completion, after which `then` is called."""
        self.log.append((self.clock.now, "submit", token))

        def done(token: object) -> None:
            self.log.append((self.clock.now, "complete", token))
            if then is not None:
                then()

        self.device.submit(sector, sectors, token, done)

    def at(self, time_ns: int, sector: int, sectors: int, token: object) -> None:
        """Submit at a time to come."""
        self.clock.call_after(time_ns - self.clock.now, lambda: self.submit(sector, sectors, token))

    def run(self) -> list[tuple[int, str, Any]]:
        """Run until nothing is pending; return the log."""
        self.clock.run()
        return self.log

    def one_by_one(self, reads: list[tuple[int, int, int]]) -> list[int]:
        """Read (think time in ns, sector, sectors) each after the one before; return the latencies in ns."""
        latencies: list[int] = []

        def following() -> None:
            if len(latencies) == len(reads):
                return
            think_ns, sector, sectors = reads[len(latencies)]
            self.clock.call_after(think_ns, lambda: begin(sector, sectors))

        def begin(sector: int, sectors: int) -> None:
            start_ns = self.clock.now

            def done(_token: object) -> None:
                latencies.append(self.clock.now - start_ns)
                following()

            self.device.submit(sector, sectors, None, done)

        following()
        self.clock.run()
        return latencies


@pytest.fixture(scope="session")
def bench() -> type[Bench]:
    """The bench class, by fixture: test folders are no packages."""
    return Bench


@pytest.fixture(scope="session")
def ssd() -> SsdModel:
    """A small SSD with round numbers: 1 us a command, 50 us a page, 1 us a transfer."""
    return SSD


@pytest.fixture(scope="session")
def hdd() -> HddModel:
    """A small disk with round numbers: 8 ms a revolution, 125 us a sector, one zone."""
    return HDD
