"""The attacks do what they say, e2fsck is asked about what they leave, and the page has what was run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools import e2fsck_says
from verbs_kit import run

from sim.cli.image.attack import cost_table, tables
from sim.errors import ConfigError
from sim.ext4.check.run import check_store
from sim.ext4.store import MemoryStore
from sim.integrity.tagger import Secrets
from sim.volume.attacks.attacks import ATTACKS
from sim.volume.attacks.lab import BLOCK_BYTES, FILE_BLOCKS, image_of, make_lab
from sim.volume.attacks.matrix import JUDGES, PLANS, cost, run_plan

PAGE = Path(__file__).parents[2] / "docs" / "integrity.md"
SAMPLE = [
    ("table_data", "checksum", "crc32c", 0),
    ("per_extent", "mac", "hmac-sha256", 1),
    ("merkle", "mac", "sha256", 0),
]


def words(said: tuple[str, str, str, int]) -> str:
    """Return a name for a test."""
    return "-".join(map(str, said))


def stored(raw: bytes) -> list[bytes]:
    """Return the blocks of /a and /b as they are stored."""
    image = image_of(raw)
    return [bytes(data) for path in ("/a", "/b") for _at, data in image.iter_blocks(image.lookup(path))][
        : 2 * FILE_BLOCKS
    ]


@pytest.mark.parametrize("said", SAMPLE, ids=words)
def test_what_attacks_do(said) -> None:
    """All but the harmless ones leave other data than was written; the harmless ones the right data."""
    lab = make_lab(said)
    for attack in ATTACKS.values():
        base = lab.alone if attack.name in ("rollback_file", "lost_tag_write") else lab.new
        made = list(attack.run(lab))
        assert 1 == len(made) or not attack.fault
        for tried in made:
            assert attack.harmless == (stored(base) == stored(tried.raw)), (attack.name, tried.name)
            assert base != tried.raw
    flipped = next(ATTACKS["bit_flip"].run(lab)).raw
    bits = [(a ^ b).bit_count() for a, b in zip(lab.new, flipped, strict=True)]
    assert [1] == [count for count in bits if count]
    (swapped, *_more) = ATTACKS["swap_between_files"].run(lab)
    assert lab.block(swapped.raw, "/a", 3) == lab.block(lab.new, "/b", 5)
    assert lab.block(swapped.raw, "/b", 5) == lab.block(lab.new, "/a", 3)
    torn = stored(next(ATTACKS["torn_write"].run(lab)).raw)[3]
    assert torn == stored(lab.new)[3][: BLOCK_BYTES // 2] + stored(lab.old)[3][BLOCK_BYTES // 2 :]


@pytest.mark.parametrize("said", SAMPLE, ids=words)
def test_e2fsck_says_what_our_check_says(said, tmp_path) -> None:
    """Of every image that an attack leaves; but for a flipped tag it says that nothing is wrong."""
    lab = make_lab(said)
    for attack in ATTACKS.values():
        for tried in attack.run(lab):
            (tmp_path / "a.img").write_bytes(tried.raw)
            code = e2fsck_says(tmp_path / "a.img")[0]
            ours = check_store(MemoryStore(tried.raw), "image").problems
            assert bool(ours) == bool(code), (attack.name, tried.name)
            assert not ours or attack.name == "tag_bit_flip"


@pytest.fixture(scope="module")
def outcomes():
    """Every attack on every plan."""
    return [outcome for said in PLANS for outcome in run_plan(said)]


def test_the_page_has_what_was_run(outcomes) -> None:
    """The tables between its marks are what `readpath image attack` prints."""
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("<!-- readpath image attack -->\n")[2].partition("\n<!-- end -->")[0]
    assert shown == "\n\n".join([*tables(outcomes), cost_table([cost(said) for said in PLANS])])


def test_who_knows_more_notices_more(outcomes) -> None:
    """
    Faults are told by whoever can judge, forging by nobody without a key, every attack by an anchor: but for
    maps that are changed where tags are of places alone and nothing has tags of the inodes.
    """
    assert len(PLANS) * len(ATTACKS) == len(outcomes)
    for outcome in outcomes:
        seen, scheme = outcome.noticed, outcome.said[1]
        assert seen["anchor"] >= seen["key"] >= seen["anyone"], outcome
        blind = outcome.said[0] == "table_data" and (
            (outcome.attack.name == "remap_in_file" and scheme != "checksum-then-encrypt")
            or (outcome.attack.name == "remap_between_files" and scheme in ("checksum", "mac"))
        )
        assert seen["anchor"] != blind, outcome
        assert seen["key"] or not outcome.attack.fault, outcome
        assert bool(outcome.missed) != seen["key"], outcome
        if scheme == "checksum":
            assert seen["key"] == seen["anyone"] == (outcome.attack.fault or outcome.attack.harmless), outcome
        elif outcome.attack.name in ("forged_block", "swap_in_file", "swap_between_files"):
            assert seen["key"], outcome
        if outcome.attack.name in ("rollback_file", "rollback_image"):
            assert not seen["key"], outcome


def test_a_judge_of_untouched_images(outcomes) -> None:
    """Nothing is bad in them: else every attack would be noticed for nothing."""
    assert outcomes
    for said in PLANS:
        lab = make_lab(said)
        assert {"old", "new", "alone"} == {n for n in ("old", "new", "alone") if getattr(lab, n)}
        assert (lab.secrets == Secrets()) == (said[1] == "checksum")
        assert lab.old != lab.alone != lab.new


def test_the_verb() -> None:
    """Some attacks on one scheme, as JSON and as tables; a name that is none is told."""
    said = json.loads(run("attack", "bit_flip", "forged_block", "--scheme", "mac", "--json").stdout)
    rows = {(row["layout"], row["extent_blocks"], row["attack"]): row for row in said["attacks"]}
    assert 12 == len(rows)
    assert ["key", "anchor"] == rows["table_all", 0, "forged_block"]["noticed_by"]
    assert 4 == rows["per_extent", 1, "forged_block"]["tries"]
    assert {"key", "anyone", "anchor"} == set(JUDGES) - {"e2fsck"}
    assert (
        "| bit_flip | key | key | key | key | key | anyone |"
        in run("attack", "--scheme", "mac", "bit_flip").stdout
    )
    with pytest.raises(ConfigError, match=r"'melt'; allowed: bit_flip, "):
        run("attack", "melt")
    with pytest.raises(ConfigError, match=r"--scheme: 'rot13'; allowed: "):
        run("attack", "--scheme", "rot13")
