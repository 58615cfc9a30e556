"""The lines a run ends with: sentences of its claims, with its own numbers; and what it cannot tell."""

from __future__ import annotations

from pathlib import Path

from claims_kit import made

from sim.claims.answers import answers, claims_on

B1, P1, B4, P4 = ("1KiB", "buffer_head"), ("1KiB", "page_io"), ("4KiB", "buffer_head"), ("4KiB", "page_io")
RUN = made({B1: [400], P1: [100], B4: [200], P4: [100]})
TEXT = """\
[[claim]]
name = "{name}"
sentence = "At least {{margin}} times"
source = "x"
measure = {{ metric = "cpu_ns" }}
of = {{ {axis} = "buffer_head" }}
over = {{ path = "page_io" }}
kind = "at least"
margin = {margin}
margin_source = "x"
{more}
"""


def _answers(folder: Path, *claims: tuple[float, str], axis: str = "path") -> list[str]:
    written = [
        TEXT.format(name=f"c{number}", margin=margin, more=more, axis=axis)
        for number, (margin, more) in enumerate(claims)
    ]
    (folder / "c.toml").write_text('experiment = "e"\n' + "".join(written))
    return answers(RUN, claims_on("e", folder))


def test_a_sentence_carries_the_numbers_of_this_run(tmp_path):
    """Ratios of 2 and 4 are said, with where it holds; a definition says nothing."""
    assert ["- At least 1.5 times: 2 to 4 (here)"] == _answers(
        tmp_path, (1.5, 'holds = "here"'), (1, "definition = true")
    )


def test_what_did_not_hold_is_marked_and_comes_last(tmp_path):
    """A claim that fails, expected or not, is never among the sentences that hold."""
    refuted = 'expect = "failed"\nlearnt = "it is less"'
    lines = _answers(tmp_path, (5, refuted), (3, ""), (2, ""))
    assert "- At least 2 times: 2 to 4" == lines[0]
    assert "- not so: At least 5 times: 2 to 4 (it is less)" == lines[1]
    assert ["- not so: At least 3 times: 2 to 4"] == lines[2:]


def test_what_the_run_has_not_is_said_and_not_guessed(tmp_path):
    """A claim on an axis that the matrix has not: counted, with the axis; no sentence."""
    (line,) = _answers(tmp_path, (2, ""), axis="device")
    assert line.startswith("1 of 1 claims cannot be told from this run: claim c0: run has no axis 'device'")


def test_without_claims_there_is_no_answer(tmp_path):
    """No folder, or none on this experiment: no line, no error."""
    assert [] == answers(RUN, claims_on("e", tmp_path / "none"))
    (tmp_path / "c.toml").write_text(
        'experiment = "other"\n' + TEXT.format(name="c", margin=1, more="", axis="path")
    )
    assert [] == answers(RUN, claims_on("e", tmp_path))
