"""Experiments by name: what is here first, then what comes along; a slip is told with the nearest."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import ConfigError
from sim.shipped import claims_folder, experiment_file, here_or_shipped, is_installed, shipped_root

CLAIMS = Path("experiments/claims")


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_or_a_path_of_the_documents(empty):
    """Both lead to the file that comes along; a file that is here comes first; nothing else is moved."""
    ours = shipped_root() / "experiments" / "memory.toml"
    assert ours == experiment_file(Path("memory")) == experiment_file(Path("experiments/memory.toml"))
    assert ours.parent.parent / "results/reference" == here_or_shipped(Path("results/reference"))
    for other in ("results/runs", "memory.toml", "/experiments", "experiments/../setup.py", "pyproject.toml"):
        assert Path(other) == here_or_shipped(Path(other))
    (empty / "experiments").mkdir()
    (empty / "experiments" / "memory.toml").write_text("")
    assert Path("experiments/memory.toml") == experiment_file(Path("memory"))
    assert Path("experiments/memory.toml") == experiment_file(Path("experiments/memory.toml"))
    in_checkout = shipped_root() == Path(__file__).parents[2]  # else readpath was installed, and is tested so
    assert is_installed(ours) is not in_checkout


def test_a_slip_is_told_with_the_nearest(empty):
    """Of a name, and of a file; what is like nothing is left to its reader."""
    with pytest.raises(ConfigError, match="did you mean 'memory'"):
        experiment_file(Path("memroy"))
    (empty / "mine.toml").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be read .*, did you mean 'mine.toml'"):
        experiment_file(Path("mien.toml"))
    with pytest.raises(ConfigError, match=r"did you mean 'experiments/memory.toml'"):
        experiment_file(Path("experiments/memroy.toml"))
    for other in ("memroy.toml", "quite-another.toml", "mine.**", "mine.[", "no/mine.toml"):
        assert Path(other) == experiment_file(Path(other))


@pytest.mark.usefixtures("empty")
def test_claims_that_come_along_are_of_experiments_that_come_along():
    """An experiment of one's own may be called as one of ours: claims on ours are not about it."""
    assert CLAIMS == claims_folder(Path("memory.toml"), CLAIMS)
    assert shipped_root() / CLAIMS == claims_folder(experiment_file(Path("memory")), CLAIMS)
