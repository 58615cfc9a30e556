"""Units and command by the depths: both limits, each alone, and a plateau that could be either's."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from fio_results_kit import HOST, row_of

from sim.block.device.profile import load_device_profile
from sim.calibrate.device_fit import DepthFit, fit_depth
from sim.calibrate.device_jobs import simulate_job, with_model
from sim.calibrate.device_told import Told, Untold, own_cpu

SATA = load_device_profile("sata-ssd")


def told(units: int, command_ns: int, depths=(2, 4, 8, 16, 32), fixed=MappingProxyType({})):
    """Return what depths tell of a device with these units and command."""
    device = with_model(SATA, units=units, command_ns=command_ns, flash_read_ns=80_000)
    rows = [row_of("randread", 4096, depth) for depth in depths]
    rows = [replace(row, iops=simulate_job(device, row, HOST).iops) for row in rows]
    return fit_depth(DepthFit(SATA, rows, own_cpu, 80_000.0 + command_ns, fixed))


def test_a_plateau_of_the_units_is_not_taken_for_the_controllers():
    """3 units of 80 us and a command of 3 us: 2 units with a slow command come near, from the other end."""
    found = told(3, 3_000)
    assert isinstance(found["units"], Told)
    assert 3 == found["units"].value


def test_what_is_fixed_is_not_sought():
    """With the command given, only units are told, and to the unit."""
    found = told(6, 9_000, fixed={"command_ns": 9_000.0})
    assert ["units"] == list(found)
    assert isinstance(found["units"], Told)
    assert 6 == found["units"].value


def test_as_many_depths_as_unknowns_tell_neither():
    """One row, or two, are no more than there is to be found; with one of both given, two will do."""
    assert [Untold, Untold] == [type(answer) for answer in told(4, 10_000, depths=(8, 16)).values()]
    assert [Told] == [type(answer) for answer in told(4, 9_000, (8, 16), {"command_ns": 9_000.0}).values()]
    found = told(4, 10_000, depths=(16,))
    assert [Untold, Untold] == [type(answer) for answer in found.values()]


def test_units_that_are_fixed_leave_the_command():
    """With 16 units a controller of 20 us is the limit: told within 2 %."""
    found = told(16, 20_000, fixed={"units": 16.0})
    assert isinstance(found["command_ns"], Told)
    assert 20_000 == pytest.approx(found["command_ns"].value, rel=0.02)
