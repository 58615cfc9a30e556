"""A device from fio's results: a known one comes back, and what they do not tell is refused by name."""

from __future__ import annotations

import json

import pytest
from fio_results_kit import HOST, PLANNED, document, measured
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.device.profile import load_device_profile, parse_device_profile
from sim.calibrate.device import FittedDevice, fit_device
from sim.calibrate.device_constants import given_constants
from sim.calibrate.device_jobs import with_model
from sim.calibrate.fio_results import parse_fio_result
from sim.errors import ConfigError

SATA = load_device_profile("sata-ssd")


def fitted(entries, rest=SATA, give=(), host_ns=None, **more) -> FittedDevice:
    """Return the device that a made-up result tells of."""
    result = parse_fio_result(json.dumps(document(entries, **more)), "r.json")
    return fit_device([result], given_constants(give), rest, host_ns)


@settings(max_examples=4, deadline=None)
@given(st.integers(2, 12), st.integers(2_000, 15_000), st.integers(40_000, 200_000), st.integers(400, 3000))
def test_a_known_device_comes_back(units, command_ns, flash_ns, megabytes):
    """All that was measured is near what it was: latencies and rates within 5 %, and every row within 5 %."""
    known = with_model(
        SATA, units=units, command_ns=command_ns, flash_read_ns=flash_ns, bandwidth=megabytes * 10**6
    )
    fit = fitted(measured(known), give=[f"command_ns={command_ns}ns"])
    model = fit.profile.model
    flash_rate = units * 16384 / flash_ns * 1000
    assert min(megabytes, flash_rate) == pytest.approx(model.bandwidth / 10**6, rel=0.05)
    assert flash_ns == pytest.approx(model.flash_read_ns, rel=0.05)
    small = [one for one in fit.compared if one.row.bs_bytes <= 16384]
    assert max(abs(one.error) for one in small) < 0.05
    assert "constant" == model.latency_kind


def test_units_and_command_are_told_where_both_limit():
    """Eight units of 80 us under a controller of 10 us: the knee tells both, to the unit and within 2 %."""
    known = with_model(SATA, units=8, command_ns=11_000, flash_read_ns=80_000)
    fit = fitted(measured(known))
    assert 8 == fit.profile.model.units
    assert 11_000 == pytest.approx(fit.profile.model.command_ns, rel=0.02)


def test_what_is_written_is_a_profile_with_sources():
    """The text is read back as the same profile; measured ones name their jobs, the others their profile."""
    fit = fitted(measured(SATA), give=["command_ns=10200ns", "units=32"])
    again = parse_device_profile("x.toml", fit.profile.name, fit.text)
    assert again.model == fit.profile.model
    sources = {key: constant.source for key, constant in again.constants}
    assert "randread-512-1, randread-4096-1" in sources["model.flash_read_ns"]
    assert sources["model.page_bytes"].startswith("profile sata-ssd, not measured")
    assert sources["write.flush_ns"].startswith("profile sata-ssd, not measured")
    assert again.write == SATA.write
    assert again.constants == fit.profile.constants


def test_a_spread_of_latencies_is_lognormal():
    """Percentiles 20 and 80 at exp(-/+ 0.8416 sigma) of the flash's part give sigma back."""
    entries = measured(SATA)
    model = SATA.model
    fixed = HOST.within_ns + model.command_ns + 4096 * 1e9 / model.bandwidth
    for entry in entries:
        if entry["jobname"] == "randread-4096-1":
            entry["read"]["total_ios"] = 5000
            low, high = (fixed + 78_000 * 2.71828182846 ** (z * 0.4) for z in (-0.841621, 0.841621))
            entry["read"]["clat_ns"]["percentile"] = {"20.000000": low, "80.000000": high}
    fit = fitted(entries, give=["command_ns=10200ns", "units=32"])
    assert "lognormal" == fit.profile.model.latency_kind
    assert 0.4 == pytest.approx(fit.profile.model.latency_sigma, rel=0.01)


def without(*left_out):
    """Return the entries of a plan without some of its jobs."""
    return measured(SATA, [job for job in PLANNED if job not in left_out])


ONE = [job for job in PLANNED if job[2] == 1]
DEEP = [job for job in PLANNED if job[1] == 4096 and job[2] > 1]
BULK = [job for job in PLANNED if job[1] == 1 << 20 and job[2] > 1]


@pytest.mark.parametrize(
    ("jobs", "named"),
    [
        (DEEP, "units (parallelism), command_ns: no random job of up to a page with iodepth > 1"),
        (ONE, "flash_read_ns (latency at iodepth 1): no random job of up to a page with iodepth 1"),
        (BULK, "bandwidth (bandwidth limit): no job with blocks of 64 KiB or more and iodepth > 1"),
        ([("randread", 1 << 20, 1)], "bandwidth (bandwidth limit): no job with iodepth 1 and the blocks of"),
    ],
)
def test_what_the_jobs_do_not_tell_is_refused_by_name(jobs, named):
    """Without jobs of a kind, their constant is missing; it is not guessed."""
    give = ["page_bytes=16KiB", "stripe_bytes=16KiB", "placement=striped"]
    with pytest.raises(ConfigError) as error:
        fitted(without(*jobs), rest=None, give=give)
    assert named in str(error.value)
    assert "allowed: jobs that tell it, --give NAME=VALUE, --rest PROFILE" in str(error.value)


def test_a_limit_that_is_not_met_is_not_told():
    """1,000 units and a command of 100 ns: 64 in flight tell neither, and say from which values on."""
    quick = with_model(load_device_profile("nvme"), units=1000, command_ns=100)
    give = [f"{name}={value}" for name, value in (("page_bytes", "16KiB"), ("stripe_bytes", "16KiB"))]
    limits = {
        key.split(".")[1]: {"value": one.value, "unit": one.unit, "source": "x"}
        for key, one in quick.constants
        if key.startswith("limits")
    }
    with pytest.raises(ConfigError) as error:
        fitted(measured(quick), rest=None, give=[*give, "placement=striped"], readpath={"queue": limits})
    lines = str(error.value).splitlines()
    assert 2 == len(lines)
    assert "as well explained by any number from 256 on" in lines[0]
    assert "command_ns: " in lines[1]
    assert "as well explained by any time from 0 to" in lines[1]


def test_a_host_without_cpu_times_is_refused():
    """sys_cpu 0 says nothing of the host; --host does."""
    entries = [entry | {"sys_cpu": 0.0} for entry in measured(SATA)]
    with pytest.raises(ConfigError, match="host's share: no CPU time in randread-512-1"):
        fitted(entries)
    fit = fitted(entries, host_ns=HOST.within_ns, give=["command_ns=10200ns", "units=32"])
    assert SATA.model.flash_read_ns == pytest.approx(fit.profile.model.flash_read_ns, rel=0.02)


def test_pages_too_small_for_the_bandwidth_become_larger():
    """2 units of 80 us with pages of 64 KiB give 1.6 GB/s; pages of 16 KiB, as in the rest, could not."""
    known = with_model(
        SATA, units=2, page_bytes=65536, stripe_bytes=65536, flash_read_ns=80_000, bandwidth=10**9
    )
    fit = fitted(measured(known), give=["command_ns=10200ns"])
    assert (65536, 65536) == (fit.profile.model.page_bytes, fit.profile.model.stripe_bytes)


def test_the_rest_must_be_of_the_same_kind():
    """A disk with heads has no units."""
    with pytest.raises(ConfigError, match="profile hdd is of kind hdd; allowed: one of kind ssd"):
        fitted(measured(SATA), rest=load_device_profile("hdd"))


def test_without_a_rest_it_can_only_be_read():
    """Reads tell nothing of writes: no [write]; the queue's limits are those that --run kept."""
    queue = {
        key.split(".")[1]: {"value": one.value, "unit": one.unit, "source": "/sys/block/x"}
        for key, one in SATA.constants
        if key.startswith("limits")
    }
    give = ["page_bytes=16KiB", "stripe_bytes=16KiB", "placement=striped"]
    give += ["units=32", "command_ns=10200ns"]
    fit = fitted(measured(SATA), rest=None, give=give, readpath={"queue": queue})
    assert (None, SATA.limits) == (fit.profile.write, fit.profile.limits)
    assert "given by the user (--give)" in fit.text


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("pages=1", "'pages=1' is no constant"),
        ("units=many", "'many' is no quantity"),
        ("units", "is no constant"),
    ],
)
def test_what_cannot_be_given_is_told(word, named):
    """A name or a value that is none."""
    with pytest.raises(ConfigError, match=named):
        given_constants([word])


def test_rows_bound_by_their_cpu_are_not_fitted_to():
    """A job whose clone's CPU is busy all the time measures the host: noted, and not fitted to."""
    entries = measured(SATA)
    slow = next(entry for entry in entries if entry["jobname"] == "randread-4096-64")
    slow["read"]["iops"] /= 3
    slow["sys_cpu"] = 99.0
    fit = fitted(entries, give=["command_ns=10200ns"])
    assert any("not fitted to" in note and "randread-4096-64" in note for note in fit.notes)
    assert max(abs(one.error) for one in fit.compared if one.row.in_flight == 32) < 0.05


def test_jobs_that_were_run_twice_tell_the_noise():
    """Half as quick in the second result: 100 % apart; without a second one nothing is said."""
    entries = measured(SATA)
    slower = json.loads(json.dumps(entries))
    for entry in slower:
        entry["read"]["iops"] /= 2
    results = [parse_fio_result(json.dumps(document(one)), "r.json") for one in (entries, slower)]
    known = given_constants(["command_ns=10200ns", "units=32"])
    notes = [fit_device(results[:count], known, SATA, None).notes for count in (1, 2)]
    assert not any(note.startswith("noise") for note in notes[0])
    assert any(note.startswith("noise: the IOPS of 14 jobs") and "100% apart" in note for note in notes[1])
