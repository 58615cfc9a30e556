"""The folder of finished cells: ours, or left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import ConfigError
from sim.experiment.finished_cells import forget, forget_if_empty, make_folder, take_up

KEY = "0" * 64


@pytest.mark.parametrize("kind", ["link", "unmarked", "open", "file"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A link, somebody's directory, one that others can write: an error, and nothing in it is touched."""
    home, folder = tmp_path / "home", tmp_path / ".run.cells"
    home.mkdir()
    (home / "thesis.tex").write_text("x")
    (home / KEY).write_text("x")
    if kind == "link":
        folder.symlink_to(home)
    elif kind == "file":
        folder.write_text("x")
    elif kind == "unmarked":
        home.rename(folder)
        folder.chmod(0o700)
    else:
        make_folder(folder)
        (folder / "thesis.tex").write_text("x")
        folder.chmod(0o777)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="is in the way"):
        take_up(folder, [KEY])
    with pytest.raises(ConfigError, match="is in the way"):
        make_folder(folder)
    forget(folder)
    assert before == sorted(path.name for path in tmp_path.rglob("*"))


def test_ours_is_used_and_removed(tmp_path: Path) -> None:
    """What we made is closed to others, emptied of what is not wanted, and goes as a whole."""
    folder = tmp_path / ".run.cells"
    make_folder(folder)
    make_folder(folder)
    assert 0o1700 == folder.stat().st_mode & 0o7777
    (folder / KEY).write_text("no result")
    assert {} == take_up(folder, [KEY])
    assert [] == list(folder.iterdir())
    forget(folder)
    assert not folder.exists()


def test_an_empty_folder_goes_only_if_it_is_ours(tmp_path: Path) -> None:
    """Ours without a cell is removed; with one it stays, and so does somebody's empty directory."""
    ours, theirs = tmp_path / ".run.cells", tmp_path / ".other.cells"
    make_folder(ours)
    forget_if_empty(ours)
    assert not ours.exists()
    make_folder(ours)
    (ours / KEY).write_text("a result")
    theirs.mkdir(mode=0o700)
    for folder in (ours, theirs, tmp_path / "none"):
        forget_if_empty(folder)
    assert [".other.cells", ".run.cells"] == sorted(path.name for path in tmp_path.iterdir())
