"""What writing costs: the constants of the profile are what the fit of the recordings gives."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "kernel" / "fit_writes.py"
PROFILE = ROOT / "sim" / "profiles" / "machines" / "unmeasured.toml"
ROUNDING = 0.1
"""Instructions: both have tenths, and sums of floats may fall to either side."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("fit_writes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """Return what the script prints."""
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.splitlines()


def fitted(printed: list[str], script: ModuleType) -> dict[str, float]:
    """Return the instructions of each quantity that a profile can have."""
    costs = {}
    for line, symbol in zip(printed, script.QUANTITIES, strict=False):
        assert line.startswith(symbol)
        costs[symbol] = float(line.removeprefix(symbol).split()[0])
    assert len(costs) == len(script.QUANTITIES)
    del costs[script.ALLOCATED]
    return costs


def test_the_profile_has_the_fit(printed: list[str], script: ModuleType) -> None:
    """Every constant that says it is of this fit, within rounding; none more, none less."""
    costs = tomllib.loads(PROFILE.read_text())["cost"]
    said = {
        symbol: cost["instructions"]
        for symbol, cost in costs.items()
        if "experiments/kernel/fit_writes.py" in cost["source"]
    }
    found = {symbol: cost for symbol, cost in fitted(printed, script).items() if cost}
    assert said.keys() == found.keys()
    off = {symbol: cost - found[symbol] for symbol, cost in said.items()}
    assert {symbol: by for symbol, by in off.items() if abs(by) > 1.01 * ROUNDING} == {}
    for symbol in said:
        assert costs[symbol]["source"].endswith(script.QUANTITIES[symbol])


def test_how_well_the_recordings_are_met(printed: list[str]) -> None:
    """The misfit of all phases, as the script prints it."""
    (line,) = [line for line in printed if line.startswith("median")]
    assert line == "median 2.50%, p95 6.08%, largest 7.66%"


def test_least_squares_without_negative_costs(script: ModuleType) -> None:
    """A system with a solution is solved; what would be negative is 0, and the rest fits."""
    matrix = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    ones = np.ones(3)
    assert script.least_squares(matrix, np.array([3.0, 5.0, 7.0]), ones) == pytest.approx([3, 2], abs=1e-4)
    assert script.least_squares(matrix, np.array([7.0, 5.0, 3.0]), ones) == pytest.approx([5, 0], abs=1e-4)
    # a row that is known ten times better weighs a hundred times as much: x = (1 * 100 + 2) / 101
    twice = np.array([[1.0], [1.0]])
    assert script.least_squares(twice, np.array([1.0, 2.0]), np.array([0.1, 1.0])) == pytest.approx(
        [102 / 101]
    )
