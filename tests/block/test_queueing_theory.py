"""
The SSD model against queueing theory.

Waits of successive requests depend on each other, so their spread says nothing of the error of their mean.
Each check therefore runs independent replications (own seeds for arrivals and service), takes the mean of
each as one observation, and asks that theory lies within four standard errors of the mean of these; by chance
that fails once in some 10,000 seeds, and the seeds are fixed. Each replication discards its first requests,
so that it is not flattered by the empty queue it began with. Every check also asks that the standard error is
below 2 % of theory: else it could not fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sim.engine.streams import stream

SERVICE_NS = 20_000
REPLICATIONS = 24
ARRIVALS = 5_000
WARM_UP = 500


def run_open_loop(
    bench: Any, model: Any, rate: float, seed: int, arrivals: int
) -> tuple[list[int], list[int]]:
    """Submit single-page reads as a Poisson stream of `rate` per ns; return arrival and completion times."""
    run = bench(model, seed)
    gaps = np.rint(stream(seed, "arrivals").exponential(1 / rate, arrivals)).astype(np.int64).tolist()
    begin, end = [0] * arrivals, [0] * arrivals

    def done(number: Any) -> None:
        end[number] = run.clock.now

    def arrive(number: int) -> None:
        begin[number] = run.clock.now
        run.device.submit(number * 8, 8, number, done)
        if number + 1 < arrivals:
            run.clock.call(gaps[number + 1], lambda _event: arrive(number + 1))

    run.clock.call(gaps[0], lambda _event: arrive(0))
    run.clock.run()
    return begin, end


def assert_within_standard_errors(theory: float, observed: list[float], scale: float | None = None) -> None:
    """Ask that the mean of independent observations is within four standard errors of theory."""
    error = float(np.std(observed, ddof=1)) / math.sqrt(len(observed))
    assert 0 < error < 0.02 * (theory if scale is None else scale)
    assert abs(float(np.mean(observed)) - theory) < 4 * error


def queue_model(ssd: Any, units: int, kind: str) -> Any:
    """An SSD that is nothing but `units` servers with one line: no command time, 1 ns of transfer."""
    return replace(
        ssd,
        units=units,
        placement="least-busy",
        latency_kind=kind,
        flash_read_ns=SERVICE_NS,
        command_ns=0,
        bandwidth=10**15,
    )


def wait_md1(load: float, _units: int) -> float:
    """Mean wait in M/D/1 (Pollaczek and Khinchine with no variance of service)."""
    return load * SERVICE_NS / (2 * (1 - load))


def wait_mmc(load: float, units: int) -> float:
    """Mean wait in M/M/c: Erlang's C, the probability to wait, over c * mu - lambda."""
    offered = load * units
    queued = offered**units / math.factorial(units) / (1 - load)
    served = sum(offered**busy / math.factorial(busy) for busy in range(units))
    return queued / (queued + served) * SERVICE_NS / (units * (1 - load))


@pytest.mark.parametrize(
    ("theory", "kind", "load", "units"),
    [
        (wait_md1, "constant", 0.6, 1),
        (wait_mmc, "exponential", 0.5, 1),
        (wait_mmc, "exponential", 0.7, 4),
    ],
    ids=["M/D/1", "M/M/1", "M/M/4"],
)
def test_mean_wait(
    bench: Any, ssd: Any, theory: Callable[[float, int], float], kind: str, load: float, units: int
) -> None:
    """The mean time from arrival to completion is the theory's wait, the service and 1 ns of transfer."""
    rate = load * units / SERVICE_NS
    observed = []
    for seed in range(REPLICATIONS):
        begin, end = run_open_loop(bench, queue_model(ssd, units, kind), rate, seed, ARRIVALS)
        observed.append(float(np.mean(np.subtract(end, begin)[WARM_UP:])))
    assert_within_standard_errors(theory(load, units) + SERVICE_NS + 1, observed)


def test_mm1_is_what_erlang_c_says_for_one_unit() -> None:
    """The formula used above gives rho / (mu - lambda) for one server."""
    assert math.isclose(0.5 / (1 - 0.5) * SERVICE_NS, wait_mmc(0.5, 1))


def test_littles_law(bench: Any, ssd: Any) -> None:
    """
    L = lambda * W. L is seen by an observer who counts reads in the drive at random instants; lambda and W
    come from the reads themselves. Both share the noise of a replication: their difference is tested.
    """
    load, units = 0.7, 4
    differences, counts = [], []
    for seed in range(REPLICATIONS):
        begin, end = run_open_loop(
            bench, queue_model(ssd, units, "exponential"), load * units / SERVICE_NS, seed, ARRIVALS
        )
        first, last = begin[WARM_UP], begin[-1]
        instants = stream(seed, "observer").uniform(first, last, 4_000)
        in_drive = np.searchsorted(begin, instants, "right") - np.searchsorted(
            np.sort(end), instants, "right"
        )
        arrived = ARRIVALS - WARM_UP
        mean_wait = float(np.mean(np.subtract(end, begin)[WARM_UP:]))
        counts.append(float(np.mean(in_drive)))
        differences.append(counts[-1] - arrived / (last - first) * mean_wait)
    assert_within_standard_errors(0.0, differences, scale=float(np.mean(counts)))


@pytest.mark.parametrize(("kind", "sigma"), [("exponential", 0.0), ("lognormal", 0.4)])
def test_mean_latency_of_random_kinds(bench: Any, ssd: Any, kind: str, sigma: float) -> None:
    """At queue depth 1 the draws are independent, with mean flash_read_ns and the spread of their law."""
    model = replace(ssd, latency_kind=kind, latency_sigma=sigma)
    latencies = bench(model, 7).one_by_one([(0, 0, 8)] * 20_000)
    flash = np.array(latencies, dtype=np.float64) - 1_000 - 1_000
    assert_within_standard_errors(50_000, flash.tolist())
    relative = 1.0 if kind == "exponential" else math.sqrt(math.expm1(sigma**2))
    # The standard error of a variance is sqrt((kurtosis - 1) / n) of it; the kurtosis is that of the sample.
    variance = float(np.var(flash, ddof=1))
    kurtosis = float(np.mean((flash - flash.mean()) ** 4)) / variance**2
    expected = (relative * 50_000) ** 2
    assert abs(variance - expected) < 4 * expected * math.sqrt((kurtosis - 1) / len(flash))
