"""readpath doctor: a line for each thing, what is missing too; always exit code 0."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli import doctor
from sim.cli.doctor import MODULES, PROGRAMS, ROOM_BYTES
from sim.cli.main import app

ROOT = Path(__file__).parents[2]
SYSTEM = ":/usr/sbin:/sbin"
Usage = namedtuple("Usage", "total used free")


def found(*words: str) -> dict[str, dict[str, str]]:
    """Return what the doctor says, by name."""
    done = CliRunner().invoke(app, ["doctor", "--json", *words])
    assert 0 == done.exit_code, done.output
    return {one["name"]: one for one in json.loads(done.stdout)}


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_each_thing_is_a_line_that_says_what_it_is_for():
    """State, name, where, purpose; nothing is written."""
    lines = CliRunner().invoke(app, ["doctor"]).stdout.splitlines()
    assert len(lines) == len(found()) > 18
    assert all(re.fullmatch(r"(there|missing|low) +\S.* - \S.*", line) for line in lines)
    assert "" == CliRunner().invoke(app, ["doctor", "-q"]).output
    assert [] == list(Path().iterdir())


def test_programs_are_looked_for_where_they_would_be_run(tmp_path, monkeypatch):
    """On the path, and where administrators have them; what is not there is told with its package."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("fio", "clang"):
        (tools / name).touch(0o755)
    (tools / "btt").touch(0o644)
    which = shutil.which
    monkeypatch.setattr("shutil.which", lambda name, path: which(name, path=path.removesuffix(SYSTEM)))
    monkeypatch.setenv("PATH", str(tools))
    said = found()
    for names, package, purpose in PROGRAMS:
        one = said[" or ".join(names)]
        assert purpose == one["purpose"]
        here = [name for name in names if name in ("fio", "clang")]
        expected = ("there", f"{tools}/{here[0]}") if here else ("missing", f"apt-get install {package}")
        assert expected == (one["state"], one["said"])


def test_modules_fonts_and_the_core_are_told(monkeypatch):
    """Which way the core runs, what Python has, and whether figures look as ours."""
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "selenium" else object())
    monkeypatch.setattr(doctor, "compiled", lambda: True)
    monkeypatch.setattr(doctor, "font_file", lambda: None)
    said = found()
    assert {"selenium"} == {name for name, _ in MODULES if said[name]["state"] == "missing"}
    assert "compiled core" in said["readpath"]["said"]
    assert "missing" == said["font DejaVu Sans"]["state"]
    monkeypatch.undo()
    assert Path(found()["font DejaVu Sans"]["said"]).is_file()


def test_room_and_folders_are_looked_at(tmp_path, monkeypatch):
    """Too little room is low; a folder that cannot be written, or is none, is missing."""
    for free, state in ((ROOM_BYTES, "there"), (ROOM_BYTES - 1, "low")):
        monkeypatch.setattr("shutil.disk_usage", lambda _path, free=free: Usage(1 << 50, 0, free))
        assert state == found()["room on the disk"]["state"]
    Path("results").mkdir()
    Path("results/images").touch()
    said = found()
    assert ("there", f"{tmp_path}/results can be written") == tuple(
        said["folder results/runs"][key] for key in ("state", "said")
    )
    assert "missing" == said["folder results/images"]["state"]
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).name != "results")
    assert "cannot be written" in found()["folder results/runs"]["said"]


def test_ci_installs_what_the_tests_ask_for():
    """The packages that the doctor names for tests are those of .ci/run."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    packages = {package for _names, package, purpose in PROGRAMS if "tests" in purpose}
    assert [] == [package for package in packages if f"[{package}]=" not in text]
