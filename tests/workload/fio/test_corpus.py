"""Job files in the manner of those that people share: buffered reads run, the rest says why not."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from fio_log import fio_takes, needs_fio

from sim.config.cell_result import CellResult
from sim.errors import ConfigError
from sim.experiment.fio_experiment import fio_experiment
from sim.experiment.notes import notes_of
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

CORPUS = Path(__file__).parent / "corpus"
RUNS = sorted(path.name for path in (CORPUS / "runs").glob("*.fio"))
ENVIRONMENT = {"BLOCK": "4k", "TARGET": "/mnt/x", "MODE": "read"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def _run(folder: Path, name: str, *sets: str) -> CellResult:
    experiment = fio_experiment(CORPUS / "runs" / name, None, sets)
    (cell,) = experiment.cells
    return run_cell(cell, partial(ensure_image, root=folder)(cell), True)


@needs_fio
def test_the_corpus_is_fios(tmp_path):
    """fio can parse every file of it but the misspelt one."""
    for path in sorted(CORPUS.glob("*/*.fio")):
        assert fio_takes(tmp_path, path.read_text()) == (path.name != "misspelt.fio"), path.name


@pytest.mark.parametrize("name", RUNS)
def test_buffered_reads_run(tmp_path, name):
    """Each runs as it is, reads what it was asked to, and comes to the same twice."""
    first = _run(tmp_path, name)
    assert first.metrics["reads"] == len(first.reads)
    assert {row.job for row in first.reads} == {row.job for row in first.jobs if row.scope == "job"}
    ramped = name == "paced.fio"
    assert ramped or first.metrics["bytes_read"] == sum(
        row.bytes_read for row in first.jobs if row.scope == "job"
    )
    assert first == _run(tmp_path, name)


# Reads of each clone, by hand: size / bs, or what the job says itself.
READS = {
    "sequential.fio": {"seqread": [2]},
    "random-libaio.fio": {"random-reads": [32] * 4},
    "logs.fio": {"reader": [1]},
    "phases.fio": {"scan": [64], "look-up": [16], "tail": [20]},
    "blanks.fio": {"a job": [16, 16]},
    "cached.fio": {"cached": [32]},
    "laws.fio": {"zipf": [64], "pareto": [64], "normal": [64], "zones": [64], "bytes": [64], "aligned": [16]},
    "from-the-environment.fio": {"scripted": [16] * 4},
}


@pytest.mark.parametrize("name", sorted(READS))
def test_reads_of_each_job(tmp_path, name):
    """Each clone makes as many reads as its options say."""
    rows = _run(tmp_path, name).jobs
    for job, reads in READS[name].items():
        assert reads == [row.reads for row in rows if (row.scope, row.job) == ("job", job)]


def test_files_are_laid_out_as_fio_does(tmp_path):
    """Every clone has its own files, of the sizes that are asked for, in the root of the volume."""
    experiment = fio_experiment(CORPUS / "runs" / "many-files.fio", None, ())
    files = {file.name: file.size_bytes for file in experiment.cells[0].config.volume.files}
    assert [f"static.{clone}.{number}" for clone in (0, 1) for number in range(6)] == list(files)[:12]
    assert {"large.0.0": 65536, "large.0.1": 65536}.items() <= files.items()
    sizes = [size for name, size in files.items() if name.startswith("static")]
    assert all(8192 <= size <= 32768 and size % 4096 == 0 for size in sizes)
    assert len(set(sizes)) > 1
    del tmp_path


def test_the_note_names_every_option_that_changes_nothing():
    """One note has all of them, with the reason."""
    (note,) = notes_of(fio_experiment(CORPUS / "runs" / "logs.fio", None, ()))
    text = (CORPUS / "runs" / "logs.fio").read_text()
    said = [line.partition("=")[0] for line in text.splitlines() if line and line[0] not in "[#;"]
    changing = {"directory", "ioengine", "size", "rw", "bs"}
    for option in said:
        assert bool(re.search(rf"\b{option}\b", note)) == (option not in changing), option
    assert note.startswith("fio options that change nothing here: write_bw_log, write_lat_log")


REFUSED = sorted(path.name for path in (CORPUS / "refused").glob("*.fio"))


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_told_at_once_each_with_its_line(monkeypatch, name):
    """What cannot be run is told line by line: place, value, reason, and what would do."""
    monkeypatch.chdir(CORPUS / "refused")
    with pytest.raises(ConfigError) as caught:
        fio_experiment(Path(name), None, ())
    assert Path(name).with_suffix(".txt").read_text() == f"{caught.value}\n"


def test_set_mends_a_job_that_is_refused():
    """--set workload.job.direct=0 runs a job that says direct=1, on a size that fits."""
    experiment = fio_experiment(
        CORPUS / "refused" / "direct.fio", None, ("workload.job.direct=0", "workload.job.size=64k")
    )
    (cell,) = experiment.cells
    assert [("nvme0n1", 65536)] == [(file.name, file.size_bytes) for file in cell.config.volume.files]
