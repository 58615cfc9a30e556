"""The lists of `make mutants`: every fault can still be made. That tests notice it, `make mutants` shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import ROOT, Mutant, MutantError, load_mutants

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
