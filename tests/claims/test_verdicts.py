"""Claims against runs made by hand: selecting, pairing, dividing, and what elsewhere means."""

from __future__ import annotations

import pytest
from claims_kit import claim, made

from sim.claims.claims import load_claims
from sim.claims.verdicts import Cells, evaluate
from sim.errors import ConfigError

B1, P1, B4, P4 = ("1KiB", "buffer_head"), ("1KiB", "page_io"), ("4KiB", "buffer_head"), ("4KiB", "page_io")
TWICE = {B1: [400], P1: [100], B4: [200], P4: [100]}


def _evaluated(run, **keys):
    return evaluate(claim(**keys), Cells(run))


def test_cells_are_paired_by_all_other_labels():
    """Each buffer_head cell is divided by the page_io cell of its own block size; the worst decides."""
    finding = _evaluated(made(TWICE))
    assert [(B1, (4.0,)), (B4, (2.0,))] == [(p.labels, p.values) for p in finding.parts[0].points]
    assert (finding.verdict, finding.worst.labels) == ("held", B4)
    assert _evaluated(made(TWICE), margin=3).verdict == "failed"


def test_seeds_are_paired():
    """A spread that both paths share vanishes in the ratio: every seed is divided by its own partner."""
    noisy = [100, 900, 300, 500]
    run = made({B4: [2 * ns for ns in noisy], P4: noisy})
    finding = _evaluated(run, margin=2)
    assert finding.worst.values == (2.0, 2.0, 2.0, 2.0)
    assert finding.verdict == "held"


def test_a_spread_across_the_margin_cannot_be_told():
    """Ratios on both sides of the margin decide nothing."""
    run = made({B4: [120, 140, 125, 138, 131], P4: [100] * 5})
    assert _evaluated(run).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("per", "value"), [("run", 32.0), ("page", 4.0), ("4KiB", 4.0), ("block", 1.0), ("bio", 8.0)]
)
def test_what_a_measure_is_taken_per(per, value):
    """32 calls over 8 pages of 4 blocks in 4 bios."""
    measure = {"calls": ["ext4_map_blocks"], "per": per}
    finding = _evaluated(made({B1: [100]}, {B1: 32}), measure=measure, over={}, kind="equal", margin=value)
    assert (finding.verdict, finding.worst.values) == ("held", (value,))


def test_the_share_of_a_difference():
    """`less` subtracts the partner above and below: mapping is half of each, so half of the difference."""
    finding = _evaluated(
        made(TWICE), measure={"groups": ["mapping"]}, by={"metric": "cpu_ns"}, over={},
        less={"path": "page_io"}, kind="at most", margin=0.5,
    )  # fmt: skip
    assert [(0.5,), (0.5,)] == [point.values for point in finding.parts[0].points]
    nothing = _evaluated(
        made({B4: [100], P4: [100]}), measure={"groups": ["mapping"]}, by={"metric": "cpu_ns"}, over={},
        less={"path": "page_io"},
    )  # fmt: skip
    assert nothing.verdict == "cannot tell"
    assert nothing.notes == ("at 4KiB, buffer_head there is nothing to divide by",)


def test_elsewhere_is_part_of_the_claim():
    """A claim that says it fails on 4 KiB blocks holds if it does, and fails if it holds there too."""
    elsewhere = [{"of": {"block_size": "4KiB"}, "expect": "failed", "because": "few blocks"}]
    keys = {"of": {"path": "buffer_head", "block_size": "1KiB"}, "elsewhere": elsewhere}
    assert _evaluated(made(TWICE), margin=3, **keys).verdict == "held"
    finding = _evaluated(made(TWICE), margin=2, **keys)
    assert finding.verdict == "failed"
    assert finding.notes == ("at 4KiB, buffer_head it should be failed (few blocks), and is not",)


def test_what_the_run_does_not_have_cannot_be_told():
    """A label, a partner, a symbol or seeds that are not there: cannot tell, and the note says which."""
    run = made({B4: [200]})
    assert _evaluated(run).notes == ("this run has no 4KiB, page_io to compare with",)
    gone = _evaluated(run, of={"path": "mpage"}, over={})
    assert (gone.verdict, gone.notes) == ("cannot tell", ("path is never 'mpage' in this run",))
    unseen = _evaluated(run, measure={"calls": ["ext4_map_block"]}, over={})
    assert (unseen.verdict, unseen.notes) == ("cannot tell", ("this run never calls ext4_map_block",))
    few = _evaluated(made(TWICE), seeds=5)
    assert (few.verdict, few.notes) == ("cannot tell", ("1 seeds; this claim needs 5",))


def test_an_unknown_axis_is_a_mistake():
    """A claim on an axis that the experiment does not vary names those it does."""
    with pytest.raises(ConfigError) as error:
        _evaluated(made(TWICE), of={"layout": "sparse"})
    message = "claim c: run has no axis 'layout'; allowed: volume.block_size, path"
    assert message == str(error.value)


GOOD = """\
experiment = "e"
[[claim]]
name = "a"
sentence = "s"
source = "x"
measure = { metric = "cpu_ns" }
kind = "at least"
margin = 1
margin_source = "planted"
"""
BAD = [
    (
        "margin = 1",
        "margin = 1\nmargins = 1",
        "claim[0].margins: unknown key 'margins', did you mean 'margin'?",
    ),
    ('"cpu_ns"', '"cpu"', "claim[0].measure: metric 'cpu' is unknown"),
    ('metric = "cpu_ns"', 'per = "page"', "claim[0].measure: one measure is needed"),
    ('metric = "cpu_ns"', 'groups = ["maps"]', "claim[0].measure.groups: cost group 'maps' is unknown"),
    ('"at least"', '"more"', "claim[0].kind: 'more' is not known"),
    ('"at least"', '"equal"', "claim[0]: equal with a measure of time"),
    ('"at least"', '"equivalent"', "claim[0]: equivalent without over, or its margin"),
    ("margin = 1", 'margin = 1\nless = { path = "x" }', "claim[0]: less with over, or without by"),
    ('experiment = "e"', "experiment = ", "is not TOML"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD)
def test_a_mistake_in_a_claim_names_its_place(tmp_path, old, new, message):
    """What cannot be used is told with file, place and value."""
    file = tmp_path / "a.toml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as error:
        load_claims(tmp_path)
    assert str(error.value).startswith(f"{file}: {message}")


def test_names_are_used_once(tmp_path):
    """Two files with a claim of one name, or a folder without claims, are mistakes."""
    with pytest.raises(ConfigError, match="has no claims"):
        load_claims(tmp_path)
    (tmp_path / "a.toml").write_text(GOOD)
    (tmp_path / "b.toml").write_text(GOOD)
    with pytest.raises(ConfigError, match=r"claim 'a' is also in .*a\.toml"):
        load_claims(tmp_path)
