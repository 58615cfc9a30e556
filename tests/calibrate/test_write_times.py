"""How long writing takes: the records follow their schema, and ns fitted to some kinds predict the others."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copy

import jsonschema
import pytest

from sim.calibrate.constants import SELF
from sim.calibrate.fit import predict
from sim.calibrate.judge import Predicted, Verdict, verdicts
from sim.calibrate.stretches import Values
from sim.calibrate.write_costs import FOLDER, Phase, load_write_records
from sim.calibrate.write_judge import judge_write_times, noise_of_write_times
from sim.calibrate.write_stretches import CALLS, SECTORS
from sim.calibrate.write_times import (
    COLD,
    COMMIT,
    DOUBLED,
    OUTSIDE,
    WRITE_TIMES,
    fit_paces,
    fit_times,
    instructions_of,
    load_write_times,
    script_of,
)
from sim.errors import ConfigError

KERNEL = Path(__file__).parents[2] / "results" / "kernel"
DATA = KERNEL / "linux-6.1.192"


def lines() -> list[dict[str, object]]:
    """The committed records."""
    return [json.loads(line) for line in (DATA / FOLDER / WRITE_TIMES).read_text().splitlines()]


@pytest.fixture(scope="module")
def phases() -> list[Phase]:
    """Return the records, simulated once."""
    return load_write_times(DATA / FOLDER)


@pytest.fixture(scope="module")
def instructions() -> Values:
    """Return what constants take, of the other recordings."""
    return instructions_of(load_write_records(DATA))


@pytest.fixture(scope="module")
def judged(phases: list[Phase], instructions: Values) -> list[Predicted]:
    """Return all predictions of left-out kinds."""
    return judge_write_times(phases, instructions)


def test_every_time_follows_the_schema() -> None:
    """A record has what the schema asks for and no more; each case is there once on each device."""
    schema = json.loads((KERNEL / "write-times-schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    found = lines()
    assert [] == [error.message for line in found for error in validator.iter_errors(line)]
    assert (432, 432) == (len(found), len({(line["case"], line["device"]) for line in found}))
    assert not validator.is_valid({key: value for key, value in found[0].items() if key != "sync"})
    assert not validator.is_valid(found[0] | {"colour": "blue"})


def test_the_script_is_what_the_kernel_did() -> None:
    """As a script of the recordings of writes: the same lines in each of three rounds."""
    script = script_of(
        {"mount": "data=ordered", "file": "contig", "path": "own", "length": 4096, "total": 65536}
    )
    assert script[:2] == ["mount /dev/nullb0 ext4 data=ordered", "open 0 /mnt/contig rw"]
    assert script[-10:-6] == ["mark write2", "wseq 0 0 4096 65536 0", "mark sync2", "fsync 0"]


def test_what_a_phase_has(phases: list[Phase]) -> None:
    """No system calls; a commit for each fsync(2); look-ups in a tree of 512 extents, and in one of one."""
    by_name = {(p.case, p.kind["side"], p.kind["device"]): p.features for p in phases}
    name = "native_bs4096/od/own/{}/seq4k-64k"
    for file, doubled in (("contig", 0.0), ("frag1", 16 * 9.0)):
        wrote, synced = (by_name[name.format(file), side, "ram"] for side in ("write", "sync"))
        assert not OUTSIDE & wrote.keys()
        assert not OUTSIDE & synced.keys()
        assert CALLS not in wrote
        assert (wrote[COLD], synced[COLD], wrote[COMMIT], synced[COMMIT]) == (1, 1, 0, 1)
        assert wrote[DOUBLED] == doubled
    null_blk = by_name[name.format("contig"), "sync", "null_blk"]
    assert null_blk[SECTORS] >= 128
    assert SECTORS in by_name[name.format("contig"), "sync", "ram"]


def test_the_fit_finds_what_was_put_in(phases: list[Phase], instructions: Values) -> None:
    """Phases that take 0.2 ns an instruction by construction are met, whatever they are made of."""
    made = [p for p in phases if p.kind["device"] == "null_blk" and p.kind["block size"] == "4096"]
    said = {c: 0.2 * instructions.get(c, 0.0) for phase in made for c in phase.features}
    taken = [predict(phase.features, said) for phase in made]
    exact = [Phase(p.case, p.name, p.kind, p.pages, p.features, t) for p, t in zip(made, taken, strict=True)]
    fitted = fit_times(exact, instructions)
    for phase in exact:
        assert sum(fitted.get(c, 0.0) * n for c, n in phase.features.items()) == pytest.approx(
            phase.taken, rel=0.01
        )
    pace = fit_paces(exact, instructions)
    assert pace["page cache"] == pytest.approx(0.2, rel=0.1)
    assert pace["block layer"] == pytest.approx(0.2, rel=0.2)


def test_kinds_that_are_left_out(judged: list[Predicted]) -> None:
    """write(2) is within the bars of reads on both devices; fsync(2) is not, at its 95th percentile."""
    found: dict[str, Verdict] = {verdict.name: verdict for verdict in verdicts(judged)}
    assert {v.currency for v in found.values()} == {"ns"}
    for device in ("ram", "null_blk"):
        assert found[f"write(2), {device}, 6.1"].held
        sync = found[f"fsync(2), {device}, 6.1"]
        assert sync.wrong == ()
        assert sync.median < 0.08
        assert 0.15 < sync.p95 < 0.19  # named in docs/costs.md


def test_the_noise_of_the_recording(phases: list[Phase]) -> None:
    """Boots of the same case."""
    for of, (median, p95) in noise_of_write_times(phases).items():
        assert median < 0.06, of
        assert p95 < 0.20, of


def test_a_line_that_is_no_time(tmp_path: Path) -> None:
    """It is named by its line."""
    copy(DATA / FOLDER / "volumes.json", tmp_path)
    (tmp_path / WRITE_TIMES).write_text(json.dumps(lines()[0] | {"sync": {}}) + "\n")
    with pytest.raises(ConfigError, match=r"native-ns.jsonl:1: is no time of writes"):
        load_write_times(tmp_path)


def test_constants_are_of_the_model(phases: list[Phase], instructions: Values) -> None:
    """All that a phase has is known in instructions, but what costs nothing by itself and what is besides."""
    unknown = {c for phase in phases for c in phase.features if c not in instructions}
    named = {"pagecache_get_page", "__filemap_get_folio", "do_writepages", "mpage_writepages"}
    assert unknown <= {(symbol, SELF) for symbol in named} | {COLD, COMMIT, DOUBLED} | {
        c for c in unknown if c[0] in ("brd_submit_bio", "brd_do_bvec")
    }
