"""The lists of `make mutants`: every fault can still be made. That tests notice it, `make mutants` shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mutants import ROOT, Mutant, MutantError, load_mutants
from run import KILLED, SURVIVED, judge

LEAST = 60
"""So many were asked for."""


@pytest.mark.parametrize("mutant", load_mutants(), ids=lambda mutant: mutant.name)
def test_a_mutants_text_is_there_once(mutant: Mutant) -> None:
    """And what comes out compiles; the files of its tests exist."""
    assert mutant.source(ROOT)
    assert mutant.tests
    assert all((ROOT / test.partition("::")[0]).is_file() for test in mutant.tests)


def test_there_are_enough_in_every_room() -> None:
    """Rooms that were asked for, and how many in all."""
    mutants = load_mutants()
    assert LEAST <= len(mutants)
    rooms = {mutant.file.split("/")[1] for mutant in mutants}
    assert {"engine", "block", "cache", "paths", "machine"} <= rooms


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("c = 3", "c = 4", "its text is 0 times in code.py, must be once"),
        ("a = ", "a = 1 + ", "its text is 2 times in code.py, must be once"),
        ("b = 2", "b = (", "code.py would be no Python"),
        ("b = 2", "b = 2", "the same"),
    ],
)
def test_a_mutant_that_is_none_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    """By name, with the file and what is wrong."""
    (tmp_path / "code.py").write_text("a = 1\nb = 2\na = 3\n")
    with pytest.raises(MutantError, match=f"broken: .*{told}"):
        Mutant("broken", "code.py", old, new, ("test.py",)).source(tmp_path)
    good = Mutant("good", "code.py", "b = 2", "b = 3", ("test.py",))
    assert "a = 1\nb = 3\na = 3\n" == good.source(tmp_path)


def test_a_list_with_an_unknown_key_or_two_of_one_name_is_told(tmp_path: Path) -> None:
    """Naming the list, the mutant, and the keys there are."""
    entry = '[[mutant]]\nname = "x"\nfile = "a.py"\nold = "1"\nnew = "2"\ntests = ["t.py"]\n'
    (tmp_path / "list.toml").write_text(entry + 'equal = "no"\n')
    with pytest.raises(MutantError, match=r"list.toml: x: \[\] missing, \['equal'\] unknown"):
        load_mutants(tmp_path)
    (tmp_path / "list.toml").write_text(entry * 2)
    with pytest.raises(MutantError, match="two of the name 'x'"):
        load_mutants(tmp_path)


@pytest.fixture
def small_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of one module and its test, which needs no plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for folder in ("sim", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "sim" / "__init__.py").write_text("LIMIT = 3\n\n\ndef fits(n):\n    return n <= LIMIT + 0\n")
    test = "from sim import fits\n\n\ndef test_fits():\n    assert fits(2) and not fits(4)\n"
    (tmp_path / "tests" / "test_fits.py").write_text(test)
    return tmp_path


def test_what_tests_notice_is_killed(small_tree: Path) -> None:
    """
    A limit of 5 is noticed; one that is not reached survives, and so does what is the same, as it should. The
    tree itself is left alone.
    """

    def fault(old: str, new: str, equivalent: str = "") -> Mutant:
        return Mutant(new, "sim/__init__.py", old, new, ("tests/test_fits.py",), equivalent)

    mutants = [fault("= 3", "= 5"), fault("<=", "<"), fault(" + 0", "", "nothing is added")]
    before = (small_tree / "sim" / "__init__.py").read_bytes()
    fates = judge(mutants, 1, 60, small_tree)
    assert [(KILLED, True), (SURVIVED, False), (SURVIVED, True)] == [(f.what, f.as_it_should) for f in fates]
    assert before == (small_tree / "sim" / "__init__.py").read_bytes()
    wrongly = judge([fault("= 3", "= 5", "it is not")], 1, 60, small_tree)
    assert [(KILLED, False)] == [(f.what, f.as_it_should) for f in wrongly]


def test_what_does_not_load_or_pass_as_it_is_is_no_verdict(small_tree: Path) -> None:
    """A fault that breaks the import kills nothing, and a test that fails anyway notices nothing."""
    broken = Mutant("broken", "sim/__init__.py", "LIMIT = 3", "LIMIT = 1 // 0", ("tests/test_fits.py",))
    with pytest.raises(MutantError, match="broken: its tests do not even load"):
        judge([broken], 1, 60, small_tree)
    with pytest.raises(MutantError, match=r"broken: no test tests/test_other\.py"):
        judge([replace(broken, tests=("tests/test_other.py",))], 1, 60, small_tree)
    (small_tree / "tests" / "test_fits.py").write_text("def test_fits():\n    assert False\n")
    with pytest.raises(MutantError, match="do not pass as they are"):
        judge([broken], 1, 60, small_tree)
