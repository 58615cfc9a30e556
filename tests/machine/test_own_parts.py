"""Code of a user's own in an experiment: what goes wrong is one line and exit 2; its digest is in the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from own_path import written
from typer.testing import CliRunner

import sim.experiment.results
from sim.api import run
from sim.cli.main import app
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment

GOOD = """
from sim.paths.no_io import NoIo

class Fine(NoIo):
    def __init__(self, parts):
        super().__init__(parts.ledger)
"""
CLAIM = """
experiment = "experiment"

[[claim]]
name = "an-extent-is-mapped-once"
sentence = "Mine asks once a window"
source = "mine"
measure = { calls = ["ext4_iomap_begin"], per = "page" }
of = { path = "ext4_iomap.py:Ext4Iomap" }
kind = "equal"
margin = 0.03125
margin_source = "counted"
holds = "a contiguous file"
"""
READ = "    def read_pages(self, task, file, ranges):"
FAST = ("data=off", "volume.files.size=256KiB", 'volume.files.layout=[{kind="contiguous"}]')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The document's files, and mine.py."""
    written(tmp_path)
    (tmp_path / "mine.py").write_text(GOOD)
    return tmp_path


def _words(folder: Path, *sets: str) -> list[str]:
    """Return the words of `readpath run` into folder/run."""
    words = ["run", str(folder / "experiment.toml"), "-o", str(folder / "run")]
    words += ["--images", str(folder / "images")]
    return [*words, *(word for each in sets for word in ("--set", each))]


def _said(folder: Path, *sets: str) -> str:
    """Return what `readpath run` says of a mistake; it leaves no run directory."""
    words = [
        "run",
        str(folder / "experiment.toml"),
        "-o",
        str(folder / "run"),
        "--images",
        str(folder / "images"),
    ]
    for each in (*FAST, *sets):
        words += ["--set", each]
    result = CliRunner().invoke(app, words)
    assert 2 == result.exit_code, result.output
    assert not (folder / "run").exists()
    (line,) = [line for line in result.output.splitlines() if line]
    return line


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mine.py", "--set path: 'mine.py' is not understood; allowed: FILE.py:NAME, a file beside"),
        ("mine.py:", "--set path: 'mine.py:' is not understood; allowed: FILE.py:NAME"),
        ("mine.py:A:B", "--set path: 'mine.py:A:B' is not understood; allowed: FILE.py:NAME"),
        ("mine:Fine", "--set path: 'mine:Fine' is not understood; allowed: FILE.py:NAME"),
        ("mine.py:Fine.name", "--set path: 'mine.py:Fine.name' is not understood; allowed: FILE.py:NAME"),
        ("none.py:Fine", "--set path: 'none.py' cannot be read (no such file or directory)"),
        ("mine.py:Other", "--set path: mine.py has no 'Other'; allowed: Fine"),
        ("parts.py:Twice", "--set path: parts.py:Twice is no ReadPath; allowed: a subclass of sim.cache."),
        ("parts.py:UNREADY", "--set path: parts.py:UNREADY is no ReadPath; allowed: a subclass of"),
    ],
)
def test_what_is_no_path_is_told_before_anything_is_made(folder: Path, word: str, message: str) -> None:
    """File, name and protocol are looked at when the experiment is read: no image is made for nothing."""
    assert _said(folder, f"path={word}").startswith(f"readpath: {message}")
    assert not (folder / "images").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "mine.py raised ZeroDivisionError (division by zero) at mine.py:1"),
        ("\n(", "mine.py raised SyntaxError ('(' was never closed"),
        ("import sys\nsys.exit(3)", "mine.py raised SystemExit (3) at mine.py:2"),
        ("import not_there", "mine.py raised ModuleNotFoundError (No module named 'not_there') at mine.py:1"),
        ("from sim.cache.address_space import ReadPath as Fine", "mine.py:Fine has no read_pages"),
        (f"{GOOD}    costs = 3", "path mine.py:Fine: costs: 3 cannot be used; allowed: symbol -> table"),
        (
            f"{GOOD}    costs = {{'a': {{'self': 1, 'group': 'x'}}}}",
            "path mine.py:Fine: costs.a.group: 'x' is not",
        ),
        (f"{GOOD}    page_state = 'folios'", "path mine.py:Fine: page_state: 'folios' is not known; allowed"),
        (f"{GOOD}    large_folios = ('7.1',)", "path mine.py:Fine: large_folios: ('7.1',) cannot be used"),
        (f"{GOOD}    mapper = int", "path mine.py:Fine: mapper: <class 'int'> is no Mapper"),
        (f"{GOOD}    post_read = (int,)", "path mine.py:Fine: post_read: <class 'int'> is no PostReadStep"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_anything_is_made(
    folder: Path, text: str, message: str
) -> None:
    """Whatever the file raises while it is loaded, and whatever its class says of itself wrongly."""
    (folder / "mine.py").write_text(text)
    assert message in _said(folder, "path=mine.py:Fine")
    assert not (folder / "images").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("        raise KeyError('a')", "path mine.py:Fine: raised KeyError ('a') at mine.py:"),
        ("        self.site = parts.ledger.site('task', '', 'my_call')", "symbol 'my_call' has no cost"),
        (f"{READ} return None", "path mine.py:Fine: made readpath raise TypeError ("),
        (
            f"{READ} return ()",
            "path mine.py:Fine: broke a rule of the model:",
        ),
        (
            f"{READ} return 1 + ''",
            "raised TypeError (unsupported operand",
        ),
        (
            f"{READ} file.mapping.set_uptodate(0, 10 ** 6)",
            "path mine.py:Fine: ",
        ),
        ("    costs = {'filemap_read': {'self': 1, 'group': 'bio'}}", "has a cost of 'filemap_read' already"),
        ("    costs = {'mine': {'slef': 1, 'group': 'bio'}}", "costs.mine.slef: unknown key; allowed: self"),
    ],
)
def test_what_goes_wrong_in_a_run_is_one_line(folder: Path, body: str, message: str) -> None:
    """The part, what was raised, and the line of the user's file."""
    assert message in _told(folder, body, "1")


def test_a_worker_tells_the_same(folder: Path) -> None:
    """Where cells run in processes of their own."""
    assert "path mine.py:Fine: raised KeyError ('a')" in _told(folder, "        raise KeyError('a')", "2")


def _told(folder: Path, body: str, jobs: str) -> str:
    """Return the one line that a run with a broken path of one's own ends with."""
    (folder / "mine.py").write_text(GOOD + body + "\n")
    where = ["-o", str(folder / "run"), "--images", str(folder / "images"), "--jobs", jobs]
    sets = (*FAST, 'path=["mine.py:Fine"]', "run.seeds=2")
    words = [
        "run",
        str(folder / "experiment.toml"),
        *where,
        *(word for each in sets for word in ("--set", each)),
    ]
    result = CliRunner().invoke(app, words)
    assert (2, 1) == (result.exit_code, result.output.count("\n")), result.output
    assert not (folder / "run").exists()
    return result.output


def test_mapping_kernel_and_device_are_held_to_their_protocols(folder: Path) -> None:
    """Each key is named, and what it takes."""
    assert "machine.kernel: parts.py:Twice is none; allowed: a KernelVersion" in _said(
        folder, "machine.kernel=parts.py:Twice", "path=page_io"
    )
    assert "mapping: parts.py:Sluggish is no Mapper; allowed" in _said(
        folder, "mapping=parts.py:Sluggish", "path=page_io"
    )
    assert "device.model: parts.py:Twice is no Hardware; allowed" in _said(
        folder, "device.model=parts.py:Twice", "path=page_io"
    )
    assert "device.model: 'nvme' is not understood; allowed: FILE.py:NAME" in _said(
        folder, "device.model=nvme", "path=page_io"
    )


def test_a_path_with_a_mapper_refuses_another(folder: Path) -> None:
    """A mapping that is asked for is not passed over in silence."""
    said = _said(folder, "path=f2fs.py:F2fs", "mapping=linear", "volume.block_size=4KiB")
    assert "mapping: 'linear', but f2fs.py:F2fs has a mapper of its own; allowed: extents" in said


def _manifest(folder: Path, *sets: str) -> dict[str, Any]:
    target = folder / "run"
    run(folder / "experiment.toml", *FAST, *sets, to=target, images=folder / "images")
    manifest: dict[str, Any] = json.loads((target / "manifest.json").read_text())
    return manifest


def test_the_files_digest_is_in_the_configuration_and_in_the_models(folder: Path) -> None:
    """Another text is another configuration and another model; a run without own code has the model's own."""
    ours = sim.experiment.versions.model_digest()
    first = _manifest(folder, 'path=["mine.py:Fine"]')
    (folder / "mine.py").write_text(GOOD + "\n# another text\n")
    second = _manifest(folder, 'path=["mine.py:Fine"]')
    without = _manifest(folder, 'path=["page_io"]')
    assert {"file", "name", "sha256"} == set(first["cells"][0]["config"]["path"])
    assert 2 == len({said["cells"][0]["config"]["path"]["sha256"] for said in (first, second)})
    assert 2 == len({said["config_hash"] for said in (first, second)})
    assert 3 == len({ours, first["versions"]["model"], second["versions"]["model"]})
    assert ours == without["versions"]["model"]


def test_a_text_that_changes_under_a_run_is_refused(folder: Path) -> None:
    """A worker never runs another text than the one whose digest the manifest has."""
    experiment = load_experiment(folder / "experiment.toml", ['path=["mine.py:Fine"]'])
    (folder / "mine.py").write_text(GOOD + "\n# later\n")
    from sim.machine.own_parts import check_own_parts
    from sim.own_code import _LOADED

    _LOADED.clear()  # as in a process that starts now
    with pytest.raises(ConfigError, match=r"path: mine\.py has changed since it was first read"):
        check_own_parts(experiment.cells[0])


def test_nothing_is_written_beside_the_file(folder: Path) -> None:
    """No __pycache__ appears where a user keeps experiments."""
    before = sorted(path.name for path in folder.iterdir())
    load_experiment(folder / "experiment.toml", ['path=["mine.py:Fine"]'])
    assert before == sorted(path.name for path in folder.iterdir())


def test_verbs_take_a_run_with_a_path_of_ones_own(folder: Path) -> None:
    """run --trace --jobs 2, show, plot: the label is what the experiment says, `stages` is drawn too."""
    target, runner = folder / "run", CliRunner()
    words = ["run", str(folder / "experiment.toml"), "-o", str(target), "--images", str(folder / "images")]
    words += ["--trace", "--jobs", "2", "--set", 'path=["page_io","ext4_iomap.py:Ext4Iomap"]', "--quiet"]
    assert 0 == runner.invoke(app, [*words, "--set", "volume.files.size=256KiB"]).exit_code
    drawn = {path.name for path in (target / "figures").iterdir()}
    assert {"cpu_per_4k.svg", "stages.svg"} <= drawn
    shown = runner.invoke(app, ["show", str(target), "--where", "path=ext4_iomap.py:Ext4Iomap", "--json"])
    assert 0 == shown.exit_code
    assert "ext4_iomap_begin" in shown.output
    before = {path.name: path.read_bytes() for path in (target / "figures").iterdir()}
    assert 0 == runner.invoke(app, ["plot", str(target), "--quiet"]).exit_code
    assert before == {path.name: path.read_bytes() for path in (target / "figures").iterdir()}


def test_claims_are_checked_on_a_run_with_a_path_of_ones_own(folder: Path) -> None:
    """A baseline of it holds for a run made now, and is stale when the text of the path changes."""
    claims, runner = folder / "claims", CliRunner()
    claims.mkdir()
    (claims / "experiment.toml").write_text(CLAIM)
    words = ["check", str(folder / "run"), "--claims", str(claims), "--baseline", str(folder / "base")]

    def made_and_checked(*more: str) -> tuple[int, str]:
        sets = (*FAST, 'path=["page_io","ext4_iomap.py:Ext4Iomap"]', "cache.status=warm")
        run(folder / "experiment.toml", *sets, to=folder / "run", images=folder / "images")
        told = runner.invoke(app, [*words, "--json", *more])
        assert told.exit_code in (0, 2), told.output
        (document,) = json.loads(told.stdout)
        (said,) = document["claims"]
        return told.exit_code, said["verdict"]

    assert (0, "held") == made_and_checked("--update-baseline")
    assert (0, "held") == made_and_checked()
    path = folder / "ext4_iomap.py"
    path.write_text(path.read_text() + "\n# another text\n")
    assert (2, "stale") == made_and_checked()
