"""readpath schema: every shipped document is valid, mistakes are not, docstrings explain the keys."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from sim.block.device.profile import device_profile_names, load_device_profile
from sim.claims.claims import Claim
from sim.cli.main import app
from sim.cli.schema import SCHEMAS
from sim.config.cell import CellConfig
from sim.config.system import Machine
from sim.engine.costs import ENTRY_KEYS, TOP_KEYS
from sim.schema.documented import columns_of, first_paragraph, said_of

ROOT = Path(__file__).parents[2]
FILES = {
    "experiment": [
        *ROOT.glob("experiments/*.toml"),
        *(path for path in ROOT.glob("experiments/published/*.toml") if path.stem != "measured"),
    ],
    "claims": [*ROOT.glob("experiments/claims/*.toml")],
    "machine": [*ROOT.glob("sim/profiles/machines/*.toml")],
    "device": [*ROOT.glob("sim/profiles/devices/*.toml")],
}
VALIDATORS = {kind: Draft7Validator(make()) for kind, make in SCHEMAS.items()}


def wrong(kind: str, document: dict[str, Any]) -> list[str]:
    """Return where a document is not valid."""
    return sorted(
        {"/".join(map(str, error.absolute_path)) for error in VALIDATORS[kind].iter_errors(document)}
    )


def read(text: str) -> dict[str, Any]:
    """Return a TOML document."""
    return tomllib.loads(text)


def test_each_is_a_schema_and_printed_as_one_document():
    """Of draft 7, the one that editors know; without a word that of experiments."""
    for kind, validator in VALIDATORS.items():
        Draft7Validator.check_schema(validator.schema)
        done = CliRunner().invoke(app, ["schema", kind])
        assert (0, validator.schema) == (done.exit_code, json.loads(done.stdout))
        assert done.stdout == CliRunner().invoke(app, ["schema", kind, "--json", "-q"]).stdout
    assert VALIDATORS["experiment"].schema == json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    assert "" == CliRunner().invoke(app, ["schema", "-q"]).output


def test_another_kind_is_a_line():
    """With what there is."""
    done = CliRunner().invoke(app, ["schema", "volume"])
    assert (2, "") == (done.exit_code, done.stdout)
    assert (
        "readpath: schema: 'volume' is not known; allowed: experiment, claims, machine, device\n"
        == done.stderr
    )


@pytest.mark.parametrize("kind", FILES)
def test_every_shipped_file_is_valid(kind):
    """All of each kind."""
    assert len(FILES[kind]) >= 4
    assert {} == {
        path.name: found
        for path in FILES[kind]
        if (found := wrong(kind, read(path.read_text(encoding="utf-8"))))
    }


def test_the_example_and_the_one_in_the_readme_are_valid(tmp_path):
    """With the comments taken for what they are."""
    assert 0 == CliRunner().invoke(app, ["init", str(tmp_path / "mine.toml")]).exit_code
    assert [] == wrong("experiment", read((tmp_path / "mine.toml").read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "experiment-file.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert [] == wrong("experiment", read(text))


SOUND = """\
title = "t"
[device]
profile = "nvme"
[volume]
files = [{ name = "d", size = "1MiB" }]
[workload]
job = { rw = "read" }
"""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('titel = "t"\n', ""),
        ("[machine]\ncups = 4\n", "machine"),
        ("[machine]\ncpus = 0\n", "machine/cpus"),
        ('[machine]\nmemory = "much"\n', "machine/memory"),
        ('[machine]\nkernel = "2.6"\n', "machine/kernel"),
        ("[mount]\ndata = 4\n", "mount/data"),
        ('[mount]\ncommit = "5 parsecs"\n', "mount/commit"),
        ("[encryption]\nscheme = 'rot13'\n", "encryption/scheme"),
        ("[run]\nseeds = -1\n", "run/seeds"),
        ("[matrix]\npath = 'mpage'\n", "matrix/path"),
    ],
)
def test_what_the_loader_refuses_by_its_form_is_not_valid(text, place):
    """An unknown key, a value out of range, a word that is none: at its place."""
    top, _, rest = text.partition("[") if not text.startswith("[") else ("", "", text[1:])
    document = read(top + SOUND + (f"[{rest}" if rest else ""))
    assert [] == wrong("experiment", read(SOUND))
    assert [place] == wrong("experiment", document)


def test_numbers_words_and_code_of_one_s_own_are_valid():
    """In the forms that the loader takes."""
    text = SOUND + (
        '[machine]\nkernel = 6.1\nprofile = "mine.toml"\nmemory = 1073741824\nsyscall = "1.5 us"\n'
        '[matrix]\npath = ["mine.py:MyPath"]\n"volume.block_size" = ["1KiB", 4096]\n'
        'volume.files.layout = [{ label = "a", value = { kind = "contiguous" } }]\n'
    )
    assert [] == wrong("experiment", read(text))
    rest = '[device]\nscheduler = "none"\n[volume]\nfiles = [{ layout = { kind = "sparse" } }]\n'
    assert [] == wrong("experiment", read(f'title = "the matrix has the others"\n{rest}'))


def test_wrong_claims_and_profiles_are_not_valid():
    """A measure of no cost group, a constant without a source, a device without a model."""
    claim = read(FILES["claims"][0].read_text(encoding="utf-8"))
    claim["claim"][0]["measure"] = {"groups": ["nosuch"]}
    assert ["claim/0/measure/groups/0"] == [
        place for place in wrong("claims", claim) if "groups" in place
    ] or ["claim/0/measure/groups"] == wrong("claims", claim)
    machine = {"name": "m", "cost": {"vfs_read": {"self": 1, "group": "other"}}}
    assert ["cost/vfs_read"] == wrong("machine", machine)
    device = read((ROOT / "sim/profiles/devices/nvme.toml").read_text(encoding="utf-8"))
    assert [] == wrong("device", device)
    del device["model"]["units"]["source"]
    assert [""] == wrong("device", device)


def test_no_key_is_forgotten():
    """Of a cell, a claim, a cost, a device's constants."""
    properties = VALIDATORS["experiment"].schema["properties"]
    assert {"title", "question", "run", "matrix", *CellConfig.model_fields} == set(properties)
    assert set(Claim.model_fields) == set(VALIDATORS["claims"].schema["$defs"]["Claim"]["properties"])
    machine = VALIDATORS["machine"].schema["properties"]
    assert set(TOP_KEYS) == set(machine)
    assert set(ENTRY_KEYS) == set(machine["cost"]["additionalProperties"]["properties"])
    for name in device_profile_names():
        assert all("." in key for key, _ in load_device_profile(name).constants)


def test_keys_are_explained_by_the_docstrings():
    """Word for word; of claims by the table that heads their module."""
    definitions = VALIDATORS["experiment"].schema["$defs"]
    machine = definitions["Machine"]
    assert "The computer." == machine["description"]
    said = machine["properties"]["syscall"]["description"]
    assert said in re.sub(r"\s+", " ", Machine.__doc__ or "")
    assert said.startswith("what a system call takes outside the file code")
    claim = VALIDATORS["claims"].schema["$defs"]["Claim"]["properties"]
    assert [] == [key for key in claim if "description" not in claim[key]]
    assert "who says so" == claim["source"]["description"]
    assert "where the margin comes from" in claim["margin_source"]["description"]
    matrix = VALIDATORS["experiment"].schema["properties"]["matrix"]["properties"]
    assert said == matrix["machine.syscall"]["description"]
    assert {"path", "volume.block_size", "volume.files.layout.extent", "workload.job.bs"} <= set(matrix)


def test_docstrings_are_taken_apart():
    """Keys with a colon, several at once, what goes on over lines; a table of two columns."""
    text = "A thing. first: what it\n    is. second, third: both: of them.\n\n    Left out: nothing."
    assert {
        "first": "what it is.",
        "second": "both: of them. Left out: nothing.",
        "third": "both: of them. Left out: nothing.",
    } == said_of(text, ["first", "second", "third"])
    assert "A thing." == first_paragraph(text, ["first"])
    assert {} == said_of(text, [])
    table = (
        "Words.\n\n    one   the first     two   the second\n    three     goes on\n              here\nmore"
    )
    assert {"one": "the first", "two": "the second", "three": "goes on here"} == columns_of(
        table, ["one", "two", "three"]
    )
