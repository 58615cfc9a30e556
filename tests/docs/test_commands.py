"""Every command that the documents show is one that readpath takes, and the CI recipe does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "experiments/kernel/README.md",
    "results/*/README.md",
)

NO_COMMAND = r"readpath [A-Z]|readpath: |readpath --|readpath image [a-z]+ \|"
"""A placeholder of a verb, a message, an option of its own, a list of verbs."""


def _commands(text: str) -> list[str]:
    """Return what a document says to type: lines of code, and code within a sentence."""
    blocks = re.findall(r"^(?: {4}|- run: )(?:\S*/)?(readpath .*)$", text, re.MULTILINE)
    inline = re.findall(r"(?<!`)`(?:\S*/)?(readpath [^`]+)`", text.replace("\n", " "))
    return [line.split(" #")[0].strip() for line in [*blocks, *inline]]


def _shown() -> list[tuple[str, str]]:
    """Return (document, command), each way to read one that leaves words out: [--this], this | that."""
    found = []
    for pattern in DOCUMENTS:
        for path in sorted(ROOT.glob(pattern)):
            for line in _commands(path.read_text(encoding="utf-8")):
                if re.match(NO_COMMAND, line):
                    continue
                found.append((path.name, re.sub(r"[\[\]]| \.\.\.", "", line)))
    return sorted(set(found))


def _understood(words: list[str]) -> tuple[int, str]:
    """Return exit code and last line of a command line with --help: nothing is run, but all is parsed."""
    done = CliRunner().invoke(app, [*words, "--help"])
    return done.exit_code, (done.stderr.splitlines() or [""])[-1]


@pytest.mark.parametrize(("document", "line"), _shown(), ids=lambda words: words)
def test_a_command_of_the_documents_is_understood(document, line):
    """Verb and options are those of today."""
    assert (0, "") == _understood(shlex.split(line)[1:]), document


def test_there_are_many_and_a_wrong_one_is_seen():
    """Every document has some; an option or a verb that is gone would be told."""
    documents = {document for document, _ in _shown()}
    assert {"README.md", "checking-claims.md", "file-keys.md", "fio-jobs.md", "images.md"} <= documents
    assert len(_shown()) > 50
    assert 2 == _understood(["run", "a.toml", "--no-such"])[0]
    assert 2 == _understood(["image", "nosuch"])[0]


RECIPE = (ROOT / "docs" / "checking-claims.md").read_text(encoding="utf-8")


def _steps() -> list[list[str]]:
    """Return the steps of the recipe's workflow that run readpath, as it has them."""
    lines = re.findall(r"^ +- run: (.*readpath .*)$", RECIPE, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def _claim() -> str:
    """Return the claim that the recipe has for an example."""
    (text,) = re.findall(r"^```toml\n(.*?)^```$", RECIPE, re.MULTILINE | re.DOTALL)
    assert tomllib.loads(text)["experiment"] == "per_block_vs_per_extent"
    return str(text)


def _step(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    readpath = Path(sys.executable).with_name("readpath")
    assert words[0] == ".venv/bin/readpath"
    return subprocess.run(
        [readpath, *words[1:]], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_recipe_works_as_written(tmp_path):
    """Run and check, with its claim: 0; and 1, with the verdicts as XML, once the claim fails."""
    experiments = tmp_path / "experiments"
    (experiments / "claims").mkdir(parents=True)
    (experiments / "jobs").symlink_to(ROOT / "experiments" / "jobs")
    text = (ROOT / "experiments" / "per_block_vs_per_extent.toml").read_text(encoding="utf-8")
    smaller = re.sub(r'size = "[0-9]+MiB"', 'size = "256KiB"', text, count=1)
    assert smaller != text  # the experiment, on a file that takes a second
    (experiments / "per_block_vs_per_extent.toml").write_text(smaller, encoding="utf-8")
    (experiments / "claims" / "mine.toml").write_text(_claim(), encoding="utf-8")
    run, check = _steps()
    fewer = [
        "--set",
        "data=off",
        "--set",
        'path=["buffer_head", "page_io"]',
        "--set",
        "encryption.scheme=none",
    ]
    done = _step([*run, "--no-figures", "--jobs", "1", *fewer], tmp_path)
    assert (0, "") == (done.returncode, "".join(_wrong(done.stderr)))
    assert "extent path" in done.stdout  # the claim's sentence is the run's answer
    baseline = ".venv/bin/readpath check run --update-baseline"
    assert 0 == _step(baseline.split(), tmp_path).returncode
    assert 0 == _step(check, tmp_path).returncode
    assert 'failures="0"' in (tmp_path / "claims.xml").read_text(encoding="utf-8")
    dearer = _claim().replace("margin = 1.5", "margin = 3.5")
    (experiments / "claims" / "mine.toml").write_text(dearer, encoding="utf-8")
    failed = _step(check, tmp_path)
    assert 1 == failed.returncode
    assert "my-extent-path-pays: " in failed.stdout
    assert 'failures="1"' in (tmp_path / "claims.xml").read_text(encoding="utf-8")


def _wrong(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if not line.startswith("readpath: note: ")]
