"""Features kept beside the records go by the layout's content and by the work, and are refused otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.calibrate.features import attach_features, keys_of, read_features, write_features
from sim.calibrate.measured import Measured
from sim.calibrate.records import load_records
from sim.calibrate.times import load_times
from sim.cli.main import app
from sim.errors import ConfigError

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"
LAYOUTS = DATA / "layouts"
FEATURES = DATA / "features.jsonl"


def _of(cases: list[Measured], access: str) -> Measured:
    """Return the case of ext4 on one-block extents of 1 KiB, warm, read this way."""
    return next(
        case
        for case in cases
        if (case.path, case.layout, case.block_size, case.access, case.status)
        == ("ext4", "frag1", 1024, access, "warm")
    )


def _layouts(at: Path, *names: str) -> Path:
    """Return a folder with copies of these layouts."""
    at.mkdir()
    for name in names:
        shutil.copy(LAYOUTS / name, at / name)
    return at


def test_another_file_of_the_same_name_is_refused_by_name(tmp_path: Path) -> None:
    """One extent elsewhere: the case and both digests are told; under another name the same file is taken."""
    case = _of(load_records(DATA).instructions, "seq128k")
    name = case.record["layout_file"]
    known, folder = read_features(FEATURES), _layouts(tmp_path / "layouts", name)
    attach_features([case], known, folder)
    layout = json.loads((folder / name).read_text())
    (folder / "mine.json").write_text(json.dumps(layout))
    case.record["layout_file"] = "mine.json"
    attach_features([case], known, folder)
    layout["extents"][0][1] += 1 << 30
    (folder / "mine.json").write_text(json.dumps(layout))
    with pytest.raises(
        ConfigError, match=r"features\.jsonl: 'ram/1024/frag1/seq128k/.*/ext4': is of a file laid"
    ):
        attach_features([case], known, folder)


def test_the_verb_refuses_them_too(tmp_path: Path) -> None:
    """A folder whose layout file changed after its features were kept: exit 2, one line, what to do."""
    folder = tmp_path / "linux"
    shutil.copytree(DATA, folder)
    file = folder / "layouts" / _of(load_records(DATA).instructions, "seq128k").record["layout_file"]
    layout = json.loads(file.read_text())
    layout["extents"][0][1] += 1 << 30
    file.write_text(json.dumps(layout))
    result = CliRunner().invoke(app, ["calibrate", "costs", "--records", str(folder), "--judge"])
    assert (2, 1) == (result.exit_code, len(result.output.splitlines()))
    assert "readpath calibrate costs --simulate" in result.output
    assert FEATURES.read_bytes() == (folder / "features.jsonl").read_bytes()


def test_a_quarter_of_a_file_is_not_the_whole() -> None:
    """Random reads of 1,024 pages and of all 4,096 have features of their own: later ones hit more."""
    whole = _of(load_times(DATA / "uml-ns.jsonl", DATA).cases, "rand4k")
    quarter = _of(load_records(DATA).instructions, "rand4k")
    assert (4096, 1024) == (whole.record["pages_read"], quarter.record["pages_read"])
    attach_features([whole, quarter], read_features(FEATURES), LAYOUTS)
    asked = [case.features["page_cache_sync_ra", "self"] for case in (whole, quarter)]
    assert asked == sorted(asked)
    assert asked[0] < asked[1]


def test_every_case_has_features_of_its_own_file() -> None:
    """Of all recordings: a line for each work on each layout, and no line that no case asks for."""
    cases = [*load_records(DATA).whole, *load_times(DATA / "uml-ns.jsonl", DATA).cases]
    assert set(keys_of(cases, LAYOUTS)) == read_features(FEATURES).keys()


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    """Written and read, they are the same; lines without a digest are told, not taken."""
    known = read_features(FEATURES)
    file = tmp_path / "features.jsonl"
    write_features(file, known)
    assert FEATURES.read_bytes() == file.read_bytes()
    file.write_text('{"case": "ram/1024", "counts": {}}\n')
    with pytest.raises(
        ConfigError, match=r"features\.jsonl:1: is no case's features \(KeyError\('layout'\)\)"
    ):
        read_features(file)
