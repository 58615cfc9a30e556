"""The wheel has all that the verbs need, and the source distribution all that the checkout has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheel_kit import ROOT, built, contents, copy_of_checkout, laid_out, unpacked, verbs_of

from sim.shipped import FOLDERS


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the checkout, for builds to write into."""
    return copy_of_checkout(tmp_path_factory.mktemp("tree") / "readpath")


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory) -> Path:
    """A wheel built from the checkout."""
    return built("build_wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tree, tmp_path_factory) -> Iterator[Path]:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    yield unpacked(built("build_sdist", tree, folder), folder / "unpacked")
    shutil.rmtree(folder)


def test_every_committed_file_is_in_the_source_distribution(sdist):
    """What git knows is there, byte for byte: tests, documents, recordings."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git here, or no clone: nobody can say what is committed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert len(names) > 500
    assert [] == [
        name
        for name in names
        if not (sdist / name).is_file() or (sdist / name).read_bytes() != (ROOT / name).read_bytes()
    ]


def test_a_wheel_of_the_source_distribution_is_the_same(wheel, sdist, tmp_path):
    """Who builds from the source distribution gets what we give out."""
    ours, theirs = contents(wheel), contents(built("build_wheel", sdist, tmp_path))
    assert sorted(ours) == sorted(theirs)
    assert [] == [name for name in ours if ours[name] != theirs[name]]


TREE = ("tests/documents", "tests/shipped/test_names.py", "tests/workload/fio/test_corpus.py")
"""Some tests that read what lies about them, a few seconds in all."""


def test_the_tests_of_the_source_distribution_run_there(sdist):
    """Some of each kind; `.ci/run` runs all of them."""
    env = {**os.environ, "PYTHONPATH": str(sdist)}
    python = [sys.executable, "-c", "import sim; print(sim.__file__)"]
    where = subprocess.run(python, cwd=sdist, env=env, capture_output=True, text=True, check=True).stdout
    assert where.startswith(str(sdist))
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TREE]
    done = subprocess.run(tests, cwd=sdist, env=env, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout[-2000:]


SMALL = ["--set", "volume.files.size=256KiB", "--set", "data=off", "--jobs", "1", "--no-figures", "-q"]
ONE_CASE = "nullmq_bs1024/bs1024/buffer/frag1/seq128k/es_cold"
VERBS = {
    "experiments, devices and notebooks are named": ["list"],
    "an experiment by its name": ["run", "fragmentation", "-o", "run", *SMALL],
    "and by the path that the documents give": [
        *("run", "experiments/founding_claim.toml", "-o", "other", *SMALL),
        *("--set", 'path=["page_io"]'),
    ],
    "a run of a named experiment finds its claims": ["check", "run", "--json"],
    "and a baseline": ["check", "run", "--baseline", "results/reference/fragmentation", "--json"],
    "the committed runs": ["check", "--json"],
    "a committed run": ["show", "results/reference/memory", "--top", "3"],
    "a run of one's own": ["show", "run", "--top", "3"],
    "its figures": ["plot", "run", "--format", "svg", "--figure", "overhead_map"],
    "its page": ["report", "run", "-o", "run.html"],
    "what an editor asks": ["schema"],
    "what is there": ["doctor"],
    "recorded cases": ["validate", "--case", ONE_CASE, "--json"],
    "the figure of one read": ["timeline", "-o", "timeline", "--format", "svg"],
    "an example": ["init", "mine.toml"],
    "which runs": ["run", "mine.toml", "-o", "mine", *SMALL],
    "what claims hang on": [
        *("sensitivity", "memory", "--claim", "a-buffer-head-a-block-stays-on-the-page", "-o", "sensitivity"),
        *("--set", "volume.files.size=256KiB", "--set", 'path=["buffer_head"]', "-j", "1", "-q"),
    ],
    "an image": ["image", "make", "disk.img", "--file", "data:64KiB"],
    "is sound": ["image", "check", "disk.img"],
    "and has a file": ["image", "extents", "disk.img", "/data"],
    "a job of fio": ["run", "--fio", "fio --name=a --rw=read --bs=4k --size=64k", "-o", "job", "-q"],
    "a fit": ["calibrate", "costs", "-o", "fitted.toml"],
}
"""What a new user tries in an empty folder. `validate --published` takes longer; its files are looked at."""


@pytest.fixture(scope="module")
def told(wheel, tmp_path_factory) -> tuple[Path, dict[str, tuple[int, str, str]]]:
    """The folder the verbs ran in, and what each of VERBS came to."""
    installed = laid_out(wheel, tmp_path_factory.mktemp("installed"))
    empty = tmp_path_factory.mktemp("empty")
    return empty, dict(zip(VERBS, verbs_of(installed, empty, list(VERBS.values())), strict=True))


def test_every_verb_works_from_the_wheel_alone(told):
    """Only `check` may find something: committed runs may be of an older model."""
    empty, results = told
    for name, (code, _, error) in results.items():
        allowed = (0, 1, 2) if VERBS[name][0] == "check" else (0,)
        assert code in allowed, (name, code, error)
        assert not error.startswith("readpath: ") or error.startswith("readpath: note"), (name, error)
    assert (empty / "run" / "figures" / "overhead_map.svg").is_file()
    assert '"verdict": "equal"' in results["recorded cases"][1]
    assert '"experiment": "memory"' in results["the committed runs"][1]
    named = results["experiments, devices and notebooks are named"][1]
    assert "memory  (30 cells)" in named
    assert "01_one_read_on_each_path.ipynb" in named


def test_what_would_write_into_the_installation_is_refused(wheel, tmp_path):
    """Recordings and published numbers that came with readpath stay; a wrong name has its nearest."""
    installed = laid_out(wheel, tmp_path / "installed")
    lines = [
        ["calibrate", "costs", "--simulate"],
        ["validate", "--published", "--update"],
        ["run", "memroy"],
    ]
    (tmp_path / "empty").mkdir()
    expected = ["--records DIR, a copy of it", "in a checkout of readpath", "did you mean 'memory'?"]
    for (code, _, error), words in zip(verbs_of(installed, tmp_path / "empty", lines), expected, strict=True):
        assert code == 2
        assert 1 == len(error.splitlines())
        assert words in error
    assert [] == list((tmp_path / "empty").iterdir())


def test_what_setup_copies_is_what_the_package_looks_for():
    """setup.py cannot import the package that it installs: the two lists are held together here."""
    assert f"SHIPPED = {json.dumps(list(FOLDERS))}".replace("[", "(").replace("]", ")") in (
        ROOT / "setup.py"
    ).read_text(encoding="utf-8")
