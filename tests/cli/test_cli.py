"""The command: verbs, exit codes, one line for a mistake. The core is the fabricated one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fabricated
import pytest

TEXT = """\
title = "Small"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { bs = "128k" }
[matrix]
path = ["buffer_head", "page_io"]
"""

# Puts the doubles where the command looks for the core, then runs the command.
WITH_FAKE_CORE = """\
import sys, types, time
import fabricated as testing
system, images = types.ModuleType("system"), types.ModuleType("images")
system.run_cell, images.ensure_image = testing.fabricated_cell, lambda cell, root: None
if "--slow" in sys.argv:
    sys.argv.remove("--slow")
    def slow(cell, image, trace):
        print("running", file=sys.stderr, flush=True)
        time.sleep(600)
    system.run_cell = slow
sys.modules["sim.machine.run_cell"], sys.modules["sim.volume.images"] = system, images
from sim.cli.main import main
main()
"""

PATHS = os.pathsep.join([str(Path(fabricated.__file__).parent), os.environ.get("PYTHONPATH", "")])
"""Where the command finds the doubles."""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with an experiment file, where the command is run."""
    (tmp_path / "e.toml").write_text(TEXT)
    return tmp_path


def _readpath(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITH_FAKE_CORE, *words],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": PATHS, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_run_prints_a_table_and_where_things_lie(folder):
    """`run` gives one row per cell, then figures and the run directory; nothing on standard error."""
    done = _readpath(folder, "run", "e.toml", "--jobs", "1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert [
        "path",
        "CPU",
        "ns/4K",
        "instr/4K",
        "x",
        "page_io",
        "maps/page",
        "bios/page",
        "requests",
        "MiB/s",
    ] in lines
    assert ["buffer_head", "150", "1,500", "1.48", "1.000", "1.000", "8", "3,906"] in lines
    assert ["page_io", "102", "1,016", "1.00", "0.031", "0.031", "8", "3,906"] in lines
    (run,) = (folder / "results" / "runs").iterdir()
    assert lines[-1] == ["run", f"results/runs/{run.name}"]
    assert (run / "figures" / "cpu_per_4k.png").is_file()


def test_run_json_quiet_and_output(folder):
    """--json is one document of the same numbers; --quiet prints nothing; -o says where."""
    done = _readpath(folder, "run", "e.toml", "-o", "out", "--json", "--set", "path=page_io", "-j1")
    document = json.loads(done.stdout)
    assert document["run"] == "out"
    assert [cell["ratio"] for cell in document["cells"]] == [1.0]
    quiet = _readpath(folder, "run", "e.toml", "-o", "out", "--quiet", "-j1")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_run_without_figures(folder):
    """--no-figures leaves figures/ empty and names none; `plot` draws them later."""
    words = ("run", "e.toml", "-o", "out", "--no-figures", "-j1")
    done = _readpath(folder, *words, "--json")
    assert (0, "") == (done.returncode, done.stderr)
    assert [] == json.loads(done.stdout)["figures"] == list((folder / "out" / "figures").iterdir())
    assert "figure" not in _readpath(folder, *words).stdout
    plotted = _readpath(folder, "plot", "out", "-q")
    assert (0, "", "") == (plotted.returncode, plotted.stdout, plotted.stderr)
    drawn = {path.name for path in (folder / "out" / "figures").iterdir()}
    assert {"cpu_per_4k.svg", "cpu_per_4k.png"} == drawn


def test_plot_and_show(folder):
    """`plot` draws again what was asked for; `show` lists symbols of the cells asked for."""
    _readpath(folder, "run", "e.toml", "-o", "out", "-q", "-j1")
    plotted = _readpath(folder, "plot", "out", "--format", "svg")
    assert (plotted.returncode, plotted.stdout) == (0, "out/figures/cpu_per_4k.svg\n")
    shown = _readpath(folder, "show", "out", "--where", "path=buffer_head", "--json")
    first = json.loads(shown.stdout)[0]
    assert (first["symbol"], first["calls"]) == ("copy_page_to_iter", 256)
    table = _readpath(folder, "show", "out", "--top", "1").stdout
    assert "copy_page_to_iter" in table
    assert "ext4_map_blocks" not in table
    assert ["Overhead", "ns/4K"] == next(line for line in table.splitlines() if "Overhead" in line).split()[
        :2
    ]
    assert "%" in next(line for line in table.splitlines() if "copy_page_to_iter" in line)
    assert "# Cells: 2 of 2; seeds: 1" in table.splitlines()


NOT_A_RUN = "is not a run directory (no {}manifest.json); allowed: what `readpath run` made"
MISTAKES = [
    (
        ["run", "nosuch.toml"],
        "nosuch.toml: cannot be read (No such file or directory); allowed: an experiment file",
    ),
    (
        ["run", "e.toml", "--set", "path=x"],
        "--set path: 'x' is not known; allowed: buffer_head, mpage, page_io, page_io_pure, iomap, per_block, "
        "ext4_iomap, page_io_unzeroed, page_io_one_scan, or FILE.py:NAME",
    ),
    (
        ["run", "e.toml", "--set", "volume.files=[{name='broken',size=4096}]", "-j1"],
        "volume.img: is damaged",
    ),
    (
        ["run", "e.toml", "--set", "device={profle='nvme'}"],
        "--set device.profle: unknown key 'profle', did you mean 'profile'?; allowed: profile, scheduler, "
        "read_ahead_kb, max_sectors_kb, max_segments, nr_requests, model",
    ),
    (["image", "make", ".", "--file", "a:1MiB"], ".: is a directory; allowed: the name of an image file"),
    (["plot", "."], f".: {NOT_A_RUN.format('')}"),
    (["show", "nosuch"], f"nosuch: {NOT_A_RUN.format('nosuch/')}"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_2(folder, words, message):
    """Whatever the user got wrong: one line on standard error, nothing on standard output, exit code 2."""
    done = _readpath(folder, *words)
    assert (2, "", f"readpath: {message}\n") == (done.returncode, done.stdout, done.stderr)
    assert [path.name for path in folder.rglob("*") if path.name.startswith(".")] == []


def test_usage_errors_exit_2(folder):
    """An unknown verb or option is exit code 2 without a traceback."""
    for words in (["runn"], ["run"], ["run", "e.toml", "--nosuch"], ["show", "out", "--top", "0"]):
        done = _readpath(folder, *words)
        assert done.returncode == 2, words
        assert "Traceback" not in done.stderr


def test_wrong_data_is_told_and_exit_1(folder):
    """A run whose bytes differ from the plaintext is kept, and is a failure."""
    (folder / "e.toml").write_text(TEXT.replace('"data"', '"wrong"'))
    done = _readpath(folder, "run", "e.toml", "-o", "out", "-q", "-j1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"readpath: cell {n} ({path}) seed 0: what was read is not what was written"
        for n, path in enumerate(["buffer_head", "page_io"])
    ]
    assert (folder / "out" / "manifest.json").is_file()


def test_interrupt_exits_130_and_leaves_nothing(folder):
    """Ctrl-C ends a run with 130 and one line, and no half-written directory."""
    command = [sys.executable, "-c", WITH_FAKE_CORE, "run", "e.toml", "--slow", "-j1", "-o", "out"]
    env = {**os.environ, "PYTHONPATH": PATHS}
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    kept = "readpath: 0 of 2 cells are finished and kept; the same command begins anew\n"
    assert (process.returncode, errors) == (130, f"{kept}readpath: interrupted\n")
    assert [path.name for path in folder.iterdir()] == ["e.toml"]


def test_help_is_light(folder):
    """--help imports none of the heavy libraries: that keeps it quick (make bench times it)."""
    code = (
        "import sys\nfrom sim.cli.main import app\n"
        "try:\n    app(['--help'], prog_name='readpath')\nexcept SystemExit:\n    pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["numpy", "matplotlib", "rich", "pydantic", "pyarrow", "simpy", "cryptography"]
    run = [sys.executable, "-c", code, *heavy]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for verb in ("run", "plot", "show", "image"):
        assert f"  {verb} " in done.stdout


def test_version(folder):
    """--version prints name and version."""
    from sim import __version__

    assert _readpath(folder, "--version").stdout.startswith(f"readpath {__version__} (")
