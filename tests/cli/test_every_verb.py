"""What all verbs have in common: --json, --quiet, exit codes told in one place; and completion."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cli.exits import MEANING, epilog
from sim.cli.main import app
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec

READPATH = Path(sys.executable).with_name("readpath")
ROOT = Path(__file__).parents[2]


def _verbs() -> list[tuple[str, ...]]:
    names = [(str(verb.name),) for verb in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        names += [(str(group.name), str(verb.name)) for verb in group.typer_instance.registered_commands]
    return names


def _readpath(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [READPATH, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def image(tmp_path) -> Path:
    """A folder with an image."""
    make_image(tmp_path / "disk.img", ImageSpec(files=(FileSpec(path="/data", size_bytes=5000),)))
    return tmp_path


def test_every_verb_takes_json_and_quiet():
    """No verb is without --json and --quiet."""
    from typer.testing import CliRunner

    verbs = _verbs()
    assert len(verbs) >= 13
    for verb in verbs:
        text = CliRunner().invoke(app, [*verb, "--help"]).output
        assert "--json" in text, verb
        assert "-q, --quiet" in text, verb


def test_quiet_is_quiet_and_json_is_json(image, monkeypatch):
    """
    --quiet prints nothing and keeps the exit code; --json is one document, with --quiet too.

    In this process; `image cat`, which writes bytes, and what is wrong are processes of their own.
    """
    from typer.testing import CliRunner

    monkeypatch.chdir(image)
    (image / "experiments").mkdir()
    for words in (
        ["list"],
        ["init", "new.toml"],
        ["image", "ls", "disk.img"],
        ["image", "extents", "disk.img", "/data"],
        ["image", "check", "disk.img"],
    ):
        told = CliRunner().invoke(app, [*words, "--quiet"])
        assert (0, "", "") == (told.exit_code, told.stdout, told.stderr), words
        (image / "new.toml").unlink(missing_ok=True)
        json.loads(CliRunner().invoke(app, [*words, "--json", "-q"]).stdout)
    quiet = _readpath(image, "image", "cat", "disk.img", "/data", "--quiet")
    assert (0, "", "") == (quiet.returncode, quiet.stdout, quiet.stderr)
    json.loads(_readpath(image, "image", "cat", "disk.img", "/data", "--json", "-q").stdout)
    said = json.loads(_readpath(image, "image", "cat", "disk.img", "/data", "--json").stdout)
    assert (5000, 64) == (said["bytes"], len(said["sha256"]))
    wrong = _readpath(image, "image", "ls", "nosuch.img", "-q")
    assert (2, "", 1) == (wrong.returncode, wrong.stdout, len(wrong.stderr.splitlines()))


def test_exit_codes_are_told_the_same_everywhere():
    """The table in docs/command-line.md and the end of --help say what sim.cli.exits says."""
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE))
    assert {str(code): meaning for code, meaning in MEANING.items()} == rows
    shown = " ".join(_readpath(ROOT, "--help").stdout.split())
    assert " ".join(epilog().split()) in shown


# Sources the completion that readpath gives, and asks it for each line as bash does at a Tab.
TAB = """\
source <("$1" --show-completion bash)
while IFS= read -r line; do
    IFS='|' read -ra COMP_WORDS <<<"$line|end"
    unset 'COMP_WORDS[-1]'
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _readpath_completion readpath
    echo "${COMPREPLY[@]}"
done
"""
COMPLETED = {
    "readpath|pl": "plot",
    "readpath|image|ex": "extents",
    "readpath|run|--tr": "--trace",
    "readpath|run|experiments/": "experiments/one.toml experiments/two.toml",
    "readpath|show|results/": "results/runs/one-123 results/runs/",
    "readpath|run|experiments/one.toml|--set|pa": "path=",
    "readpath|run|experiments/one.toml|--set|run": "run.seeds=",
    "readpath|plot|results/runs/one-123|--format|": "svg png",
    "readpath|show|results/runs/one-123|--where|path": "path=mpage path=iomap",
    "readpath|timeline|--path|page": "page_io page_io_pure",
}


def test_bash_completes(tmp_path):
    """Verbs, options, experiments, runs, axes, labels, formats, paths."""
    for name in ("one", "two"):
        (tmp_path / "experiments").mkdir(exist_ok=True)
        text = '[volume]\nblock_size = "4KiB"\n[matrix]\npath = ["mpage"]\n'
        (tmp_path / "experiments" / f"{name}.toml").write_text(text)
    run = tmp_path / "results" / "runs" / "one-123"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text('{"axes": [{"key": "path", "labels": ["mpage", "iomap"]}]}')
    done = subprocess.run(
        ["bash", "-c", TAB, "bash", READPATH],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{READPATH.parent}:{os.environ['PATH']}"},
        input="\n".join(COMPLETED) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert dict(zip(COMPLETED, done.stdout.splitlines(), strict=True)) == COMPLETED, done.stderr


def test_install_completion(tmp_path):
    """--install-completion writes a script that bash reads at its start."""
    env = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [READPATH, "--install-completion", "bash"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "readpath" in (tmp_path / ".bashrc").read_text()
