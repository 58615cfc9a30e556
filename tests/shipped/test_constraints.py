"""constraints.txt names one version of every library, which pyproject.toml allows, and no place to get it."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from wheel_kit import ROOT

LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINNED = {
    canonicalize_name(name): version
    for name, _, version in (line.partition("==") for line in LINES if not line.startswith("#"))
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BYTES = ("matplotlib", "numpy", "pyarrow", "simpy", "pydantic")
"""On these hang bytes of results and figures, or what a file means."""


def test_every_library_has_one_version_that_is_allowed():
    """What pyproject.toml asks for is pinned within its bounds; pip freezes no setuptools."""
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    wrong = {
        text: PINNED.get(canonicalize_name(wanted.name))
        for text, wanted in ((text, Requirement(text)) for text in asked)
        if wanted.name != "setuptools"
        and not wanted.specifier.contains(PINNED.get(canonicalize_name(wanted.name), "0"))
    }
    assert wrong == {}


def test_where_bytes_hang_on_a_library_there_is_an_upper_bound():
    """A new major version is tried before it is allowed."""
    unbound = [
        wanted.name
        for wanted in map(Requirement, PROJECT["dependencies"])
        if wanted.name in BYTES and "<" not in {spec.operator for spec in wanted.specifier}
    ]
    assert unbound == []


def test_no_place_is_named():
    """Names and versions only: no address, no option, no file."""
    plain = re.compile(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.]+")
    assert [] == [line for line in LINES if not plain.fullmatch(line) or "//" in line]
