"""Every parser on a few mutated documents, always the same ones; `make fuzz` tries many more."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import mutate
from targets import CORPUS, TARGETS, BrokenVerbError, verb

EXAMPLES = {"claims": 40, "baseline": 40, "spec": 60, "keys": 15, "command": 20}
"""Of each kind, 10 if it is not named: so many take about two seconds."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_mutated_document_is_told(name):
    """Exit code 0, 1 or 2, whatever it says."""
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES.get(name, 10), derandomize=True, database=None, deadline=None)
    @given(st.integers(0, 2**32))
    def once(seed: int) -> None:
        rng = random.Random(seed)
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "one"
            folder.mkdir()
            target.run(folder, target.once(rng), rng)

    once()


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_is_sound(name, tmp_path):
    """What is mutated can be used as it is: else every mutation would be refused for the same reason."""
    from targets import _run_folder

    for number, seed in enumerate(TARGETS[name].seeds):
        if name == "image-change" and not seed.name.startswith("ours"):
            continue  # what is drawn is not for every kind of file system
        folder = tmp_path / str(number)
        folder.mkdir()
        codes: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("targets.verb", lambda *words, codes=codes: codes.append(verb(*words)) or codes[-1])
            rng = random.Random(5) if TARGETS[name].run is _run_folder else random.Random(0)
            TARGETS[name].run(folder, seed.read_bytes(), rng)
        assert codes, name
        assert set(codes) <= {0, 1, 2}
        # A verdict on a run of an older model is `stale`, which is 2.
        assert 0 in codes or name in ("claims", "baseline"), seed
        if name in ("experiment", "command", "device", "machine", "fiemap", "filefrag", "spec", "record"):
            assert {0} == set(codes), seed


def test_a_fault_is_found(monkeypatch, tmp_path):
    """A verb that breaks is a failure here, and so is one that runs out of memory."""

    def broken(*_arguments: object) -> None:
        raise KeyError("x")

    def greedy(*_arguments: object) -> None:
        raise MemoryError

    for function in (broken, greedy):
        monkeypatch.setattr("sim.cli.show.show_run", function)
        with pytest.raises(BrokenVerbError):
            verb("show", tmp_path)


def test_the_toml_that_is_mutated_is_toml():
    """What the tree's mutator writes says the same tree."""
    import tomllib

    for path in sorted(CORPUS.glob("*/*.toml")):
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        assert said == tomllib.loads(mutate.as_toml(said)), path


def test_junit_of_any_text_is_xml(tmp_path):
    """Control characters in the name and sentence of a claim are escaped."""
    claims = tmp_path / "c"
    claims.mkdir()
    text = (CORPUS / "claims" / "claims.toml").read_text(encoding="utf-8")
    text = text.replace("per-block-costs-more", "x\\u0001\\uFFFE").replace(
        "buffer heads cost", "\\u001b[2J cost"
    )
    (claims / "c.toml").write_text(text, encoding="utf-8")
    assert 2 == verb("check", CORPUS / "run" / "small", "--claims", claims, "--junit", tmp_path / "j.xml")
    names = [case.get("name") for case in ElementTree.parse(tmp_path / "j.xml").iter("testcase")]
    assert "x\\x01\\ufffe" in names


def test_damage_is_what_e2fsck_calls_damage():
    """Of some damaged images, always the same ones, e2fsck and check say the same."""
    from against_e2fsck import false_alarms, verdicts

    found = verdicts(25, 7, None)
    assert {True, False} == {verdict.damaged for verdict in found}
    assert [] == [v for v in found if v.damaged and v.ours is False]
    assert [] == false_alarms(found)
