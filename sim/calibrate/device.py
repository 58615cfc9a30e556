"""
A device profile from what fio measured: which question is asked of which rows, and what the profile says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.block.device.constants import SsdModel
from sim.block.device.profile import Constant, DeviceProfile
from sim.calibrate.device_constants import LIMITS, VERB, Constants, queue_constants
from sim.calibrate.device_fit import DepthFit, fit_depth
from sim.calibrate.device_jobs import Host, simulate_job
from sim.calibrate.device_told import (
    CPU_BOUND,
    HostOf,
    Told,
    Untold,
    cpu_share,
    depth_rows,
    noise_note,
    own_cpu,
    read_ahead_note,
    small_alone,
    tell_bandwidth,
    tell_latency,
    tell_sigma,
)
from sim.calibrate.fio_results import FioResult, FioRow, rows_of
from sim.errors import ConfigError
from sim.units import NS_PER_S

UNSEEN = ("page_bytes", "stripe_bytes", "placement")
"""Of the model, what does not show in the jobs that are looked at."""
_NOT_SHOWN = "fio's results do not show it"


@dataclass(frozen=True, slots=True)
class Compared:
    """A row beside its simulation."""

    row: FioRow
    simulated_iops: float

    @property
    def error(self) -> float:
        """Signed, of IOPS, relative to what was measured."""
        return self.simulated_iops / self.row.iops - 1


@dataclass(frozen=True, slots=True)
class FittedDevice:
    """
    A profile, its TOML text without the head, what the host takes of each row, and what is to be known.

    compared: the rows that were read, beside their simulation.
    """

    profile: DeviceProfile
    text: str
    host: HostOf
    compared: tuple[Compared, ...]
    notes: tuple[str, ...]


def fit_device(
    results: Sequence[FioResult],
    given: dict[str, Constant],
    rest: DeviceProfile | None,
    host_ns: int | None,
    name: str = "measured",
) -> FittedDevice:
    """
    Return the device that the results tell of.

    given: constants by name. rest: where what they do not tell is from. host_ns: of each read, in place of
    the CPU times of fio. Raises ConfigError for all that is missing, a line each.
    """
    if rest is not None and rest.kind != "ssd":
        raise ConfigError("--rest", f"profile {rest.name} is of kind {rest.kind}", "one of kind ssd")
    rows = rows_of(results)
    constants = Constants(given, rest)
    host: HostOf = own_cpu if host_ns is None else lambda _row: Host(host_ns)
    queue = queue_constants(results)
    for limit in LIMITS:
        constants.measure(limit, queue.get(limit, Untold(_NOT_SHOWN)))
    for unseen in UNSEEN:
        constants.measure(unseen, Untold(_NOT_SHOWN))
    if host_ns is None:
        _check_host(rows, constants)
    _tell(rows, constants, host, name)
    constants.require_all()
    words = [*(result.version for result in results), *(result.time for result in results)]
    title = f"measured with {', '.join(dict.fromkeys(words))}"
    profile = constants.profile(name, title)
    notes = [read_ahead_note(rows), *filter(None, [noise_note([row for one in results for row in one.rows])])]
    bound = [row.name for row in rows if cpu_share(row) >= CPU_BOUND]
    if bound:
        notes.append(
            f"the host's CPU was busy for {CPU_BOUND:.0%} or more of {', '.join(bound)}: not fitted to"
        )
    return FittedDevice(
        profile, constants.text(title), host, tuple(compare(profile, rows, host)), tuple(notes)
    )


def compare(profile: DeviceProfile, rows: Sequence[FioRow], host: HostOf) -> list[Compared]:
    """Return rows beside their simulation on a device."""
    return [Compared(row, simulate_job(profile, row, host(row)).iops) for row in rows]


def _check_host(rows: Sequence[FioRow], constants: Constants) -> None:
    """Refuse rows that do not say what the host took."""
    silent = [row.name for row in rows if not row.system_ns]
    if silent:
        reason = f"host's share: no CPU time in {', '.join(silent)} (sys_cpu is 0)"
        constants.refuse(ConfigError(VERB, reason, "--host TIME, what the host takes of each read"))


def _tell(rows: list[FioRow], constants: Constants, host: HostOf, name: str) -> None:
    """Ask the rows for the constants of the model, the simple ones first."""
    constants.measure("bandwidth", tell_bandwidth(rows))
    model = _model(constants, name)
    small = small_alone(rows, model.page_bytes)
    latency = tell_latency(small, model.bandwidth, host)
    deep = depth_rows(rows, model.page_bytes)
    _tell_spread(constants, small, model, host)
    if isinstance(latency, Untold) or not deep:
        constants.measure("flash_read_ns", latency)
        reason = "no random job of up to a page with iodepth > 1, or with its CPU less than busy"
        constants.measure("units", Untold(reason))
        constants.measure("command_ns", Untold(reason))
    elif constants.complete:
        _tell_depth(constants, deep, latency, host, name)
        _widen_pages(constants, name)
        _tell_spread(constants, small, _model(constants, name), host)


def _tell_spread(constants: Constants, small: list[FioRow], model: SsdModel, host: HostOf) -> None:
    """Take how latencies are spread: lognormal, or constant."""
    sigma = tell_sigma(small, model.bandwidth, model.command_ns, host)
    if isinstance(sigma, Told):
        kind = "lognormal" if sigma.value else "constant"
        constants.measure("latency_kind", Constant(kind, "name", sigma.source))
        sigma = Told(round(sigma.value, 4), sigma.spread, sigma.source)
    else:
        constants.measure("latency_kind", sigma)
    constants.measure("latency_sigma", sigma)


def _tell_depth(constants: Constants, deep: list[FioRow], latency: Told, host: HostOf, name: str) -> None:
    """
    Take units, command and what they leave of the latency.

    One that is untold is taken from what is known, and the other sought again beside it.
    """
    fixed = [one for one in ("units", "command_ns", "flash_read_ns") if one in constants.given]
    while True:
        model = _model(constants, name)
        values = {one: float(getattr(model, one)) for one in fixed}
        told = fit_depth(DepthFit(constants.profile(name, VERB), deep, host, latency.value, values))
        untold = [one for one in ("command_ns", "units") if isinstance(told.get(one), Untold)]
        known = [one for one in untold if constants.knows(one)]
        if not known:
            break
        constants.measure(known[0], told[known[0]])
        fixed.append(known[0])
    for one, answer in told.items():
        constants.measure(one, answer)
    if "flash_read_ns" not in fixed and not untold:
        command = _model(constants, name).command_ns
        source = f"{latency.source}; less command_ns"
        constants.measure("flash_read_ns", Told(max(latency.value - command, 0), latency.spread, source))


def _widen_pages(constants: Constants, name: str) -> None:
    """
    Take larger pages where those known are too small for the bandwidth that was measured.

    units pages in flash_read_ns are the most that the flash gives; reads tell the least page, no more.
    """
    model = _model(constants, name)
    least = model.bandwidth * model.flash_read_ns / NS_PER_S / model.units
    if "page_bytes" in constants.given or model.page_bytes >= least:
        return
    page = 1 << math.ceil(math.log2(least))
    held = f"the bandwidth, which pages of {model.page_bytes} B do not"
    source = f"the least power of two with which {model.units} units give {held}"
    constants.measure("page_bytes", Constant(page, "B", source))
    if model.stripe_bytes % page:
        constants.measure("stripe_bytes", Constant(page, "B", "a page, which page_bytes is"))


def _model(constants: Constants, name: str) -> SsdModel:
    model = constants.profile(name, VERB).model
    assert isinstance(model, SsdModel)
    return model
