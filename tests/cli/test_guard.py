"""The guard around every verb: what nobody foresaw is one line, and exit code 1 is never an error's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from sim.cli.guard import guarded

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
COMMAND = [sys.executable, "-m", "sim.cli.main"]
EXPERIMENT = ROOT / "tests" / "fuzz" / "corpus" / "experiment" / "small.toml"
RUN = ROOT / "tests" / "fuzz" / "corpus" / "run" / "small"
ONE_CELL = ("--set", "path=page_io", "--set", "volume.block_size=4KiB", "--set", "run.seeds=1")


def _ends(error: BaseException, capsys) -> tuple[int, str]:
    """Return exit code and what is said when a verb ends with an exception."""
    with pytest.raises(typer.Exit) as caught, guarded():
        raise error
    return caught.value.exit_code, capsys.readouterr().err


def test_a_fault_is_one_line_and_a_file(capsys, tmp_path, monkeypatch):
    """Exit code 3, a line that names a file of our own, which has the traceback and the command line."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["readpath", "show", "a\nb"])
    code, said = _ends(KeyError("x\ny"), capsys)
    (file,) = tmp_path.iterdir()
    assert (3, 1) == (code, len(said.splitlines()))
    assert f"readpath: a fault in readpath, please report it with {file} (KeyError" in said
    assert 0o600 == file.stat().st_mode & 0o777
    text = file.read_text()
    assert "Traceback (most recent call last)" in text
    assert "readpath show a\\nb\n" in text


def test_a_fault_without_room_for_a_file(capsys, monkeypatch):
    """Where no file can be made, the line is said all the same."""
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    code, said = _ends(ZeroDivisionError("division"), capsys)
    assert (3, 1) == (code, len(said.splitlines()))
    assert "ZeroDivisionError: division" in said


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 2, "not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Abort(), 130, "interrupted"),
        (OSError(28, "No space left on device", "out/a"), 2, "out/a: No space left on device"),
        (BrokenPipeError(), 141, ""),
        (RecursionError("too deep"), 3, "please report"),
    ],
)
def test_each_end_has_its_sentence(capsys, error, code, words, monkeypatch):
    """Memory, Ctrl-C, the disk, a reader gone away: a sentence each, and no code is 1."""
    monkeypatch.setattr("sim.cli.guard.drop_output", lambda: None)
    found, said = _ends(error, capsys)
    assert (code, True) == (found, words in said)
    assert len(said.splitlines()) == (1 if words else 0)


def _shell(folder: Path, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = f'readpath() {{ "{sys.executable}" -m sim.cli.main "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env={**ENV, **env}, capture_output=True, text=True, check=False
    )


def test_a_reader_that_goes_away(tmp_path):
    """`| head` ends quietly, as with any other program; before and after the first line."""
    for words in ("--help", f"list --experiments {ROOT / 'experiments'}", f"show {RUN} --top 500"):
        done = _shell(tmp_path, f"readpath {words} | true; exit ${{PIPESTATUS[0]}}")
        assert done.returncode in (0, 141), words
        assert done.stderr == "", words


def test_standard_output_that_is_closed_or_full(tmp_path):
    """A closed one is no error and swallows nothing else; a full disk is told."""
    done = _shell(tmp_path, f"readpath run {EXPERIMENT} -o out -j1 --images i {' '.join(ONE_CELL)} >&-")
    assert (0, True) == (done.returncode, (tmp_path / "out" / "manifest.json").is_file()), done.stderr
    done = _shell(tmp_path, f"readpath show {RUN} > /dev/full")
    assert (2, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert "No space left on device" in done.stderr


def test_an_encoding_without_our_letters(tmp_path):
    """What the terminal cannot show is escaped: LC_ALL=C, and one that is not made UTF-8 by Python."""
    (tmp_path / "e.toml").write_text(EXPERIMENT.read_text().replace('"Small"', '"gr\u00f6\u00dfer \u2014"'))
    for env in ({"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}):
        done = _shell(tmp_path, "readpath list --experiments .", **env)
        assert (0, "") == (done.returncode, done.stderr)


def test_matplotlib_of_the_user_changes_nothing(tmp_path):
    """MPLBACKEND set to rubbish, and a matplotlibrc beside: the figures are the same to the byte."""
    done = _shell(tmp_path, f"cp -r {RUN} a; cp -r {RUN} b; readpath plot a")
    assert 0 == done.returncode, done.stderr
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\naxes.facecolor: red\nsvg.fonttype: none\n")
    done = _shell(tmp_path, "readpath plot b", MPLBACKEND="nonsense")
    assert 0 == done.returncode, done.stderr
    drawn = sorted((tmp_path / "a" / "figures").iterdir())
    assert drawn
    for path in drawn:
        assert path.read_bytes() == (tmp_path / "b" / "figures" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("target", [".", "..", "/", "''", "/dev/null", "$'a\\xff'"])
def test_a_run_into_what_is_no_directory_of_its_own(tmp_path, target):
    """-o . and the like: done under that name, or one line."""
    done = _shell(tmp_path, f"readpath run {EXPERIMENT} -o {target} -j1 --images i -q {' '.join(ONE_CELL)}")
    assert (done.returncode, len(done.stderr.splitlines())) in ((2, 1), (0, 0)), done.stderr
    assert "Traceback" not in done.stderr
