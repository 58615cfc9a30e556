"""
Stretches of code: recorded symbols taken together, and what their instructions hang on.

A recording by symbol says what each function took, with what it calls and is not recorded itself. A loop in
one function turns once a call of another, so the cost of a turn is that function's: a stretch names recorded
symbols and its drivers, the constants that share what they took. What is known of it already comes off
first; the rest is shared out by least squares, none below zero and each near its prior.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sim.calibrate.constants import SELF, Constant
from sim.calibrate.least_squares import fit
from sim.calibrate.measured import Features

Values = dict[Constant, float]
SIGMA = 0.001
"""How far a window's sum repeats, relative (README of the recordings): what a stretch is weighed by."""
WIDE = 1e6
"""Instructions: a prior that says nothing."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    symbols: what is taken together, recorded or the model's own. drivers: constants that are fitted to it.
    """

    symbols: tuple[str, ...]
    drivers: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """
    What one window of the plugin counted, beside what the simulator calls there.

    kind: words that say what is done: block size, mode, path, file. symbols: instructions by recorded symbol.
    """

    name: str
    kind: dict[str, str]
    features: Features
    symbols: dict[str, float] = field(repr=False)

    @property
    def total(self) -> float:
        """All instructions."""
        return sum(self.symbols.values())


def complete(
    listed: Iterable[Stretch], windows: list[Window], known: Mapping[Constant, float]
) -> list[Stretch]:
    """Return the stretches, and one for each symbol that none names, driven by its own constants."""
    listed = list(listed)
    named = {symbol for stretch in listed for symbol in stretch.symbols}
    constants = sorted({constant for window in windows for constant in window.features})
    own: dict[str, list[Constant]] = {}
    for constant in constants:
        if constant[0] not in named:
            own.setdefault(constant[0], []).append(constant)
    return listed + [
        Stretch((symbol,), tuple(constant for constant in of if constant not in known))
        for symbol, of in own.items()
    ]


def fit_stretches(
    windows: list[Window],
    stretches: list[Stretch],
    known: Mapping[Constant, float],
    prior: Mapping[Constant, tuple[float, float]] | None = None,
) -> Values:
    """
    Return what the drivers are worth, in instructions; one that drives several stretches has their sum.

    known: constants that are given. prior: value and width of those that have one.
    """
    prior = prior or {}
    totals = np.array([window.total for window in windows])
    found: Values = {}
    for stretch in stretches:
        driven = [d for d in stretch.drivers if any(window.features.get(d) for window in windows)]
        if not driven:
            continue
        rest = np.array([_rest(window, stretch, known) for window in windows])
        matrix = np.array([[window.features.get(d, 0.0) for d in driven] for window in windows])
        expected = [prior.get(d, (0.0, WIDE)) for d in driven]
        at, width = np.array([e[0] for e in expected]), np.array([e[1] for e in expected])
        x = fit(matrix, rest, SIGMA * totals, at, width)
        for driver, value in zip(driven, x, strict=True):
            found[driver] = found.get(driver, 0.0) + float(value)
    return found


def _rest(window: Window, stretch: Stretch, known: Mapping[Constant, float]) -> float:
    """Return what a stretch took in a window, without what is known of it."""
    taken = sum(window.symbols.get(symbol, 0.0) for symbol in stretch.symbols)
    inside = set(stretch.symbols)
    return taken - sum(
        count * known.get(constant, 0.0)
        for constant, count in window.features.items()
        if constant[0] in inside
    )


def own(*symbols: str) -> tuple[Constant, ...]:
    """Return the constants of calls of symbols."""
    return tuple((symbol, SELF) for symbol in symbols)
