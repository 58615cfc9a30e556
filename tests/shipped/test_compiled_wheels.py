"""What cibuildwheel is told: which Pythons, and that the core is compiled."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from wheel_kit import ROOT

from sim.engine.mode import compiled

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOLD = PROJECT["tool"]["cibuildwheel"]


def test_the_first_python_is_the_one_that_is_required() -> None:
    """And the others follow it without a gap."""
    minors = [int(name.removeprefix("cp3").removesuffix("-*")) for name in TOLD["build"]]
    assert f">=3.{minors[0]}" == PROJECT["project"]["requires-python"]
    assert list(range(minors[0], minors[0] + len(minors))) == minors


def test_the_compiler_is_there_and_asked_for() -> None:
    """The file that is installed first names mypy, whose mypyc compiles; setup.py is asked to compile."""
    *_, name = TOLD["before-build"].split("{project}/")
    pinned = {line.partition("==")[0] for line in (ROOT / name).read_text().splitlines()}
    assert {"mypy", "librt"} <= pinned
    assert {"READPATH_COMPILE": "1"} == TOLD["environment"]


def test_a_wheel_that_is_not_compiled_does_not_pass(tmp_path: Path) -> None:
    """The first command that a wheel is tried by tells the two apart."""
    _, *arguments = shlex.split(TOLD["test-command"][0])
    ended = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, check=False)
    assert (0 if compiled() else 1) == ended.returncode
    assert compiled() or ended.stderr.rstrip().endswith(b"AssertionError")
