"""Which jobs of fio's results say something of a device, and what; why the others are left out."""

from __future__ import annotations

import json

import pytest
from fio_results_kit import Job, document, write_result
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.calibrate.fio_results import parse_fio_result, read_fio_result, rows_of
from sim.errors import ConfigError


def test_a_row_has_what_fio_measured(tmp_path):
    """IOPS and latency as they are; CPU times a read from fio's percentages: 3 % of 100 us."""
    (row,) = read_fio_result(write_result(tmp_path / "r.json", [Job(bs=8192).entry()])).rows
    assert (row.bs_bytes, row.in_flight, row.iops, row.lat_ns) == (8192, 1, 10_000, 100_000)
    assert (3_000, 500) == (row.system_ns, row.user_ns)
    assert (row.alone, row.random, row.file) == (True, True, "r.json")


def test_words_of_fio_above_the_document_are_skipped():
    """fio prints warnings before its JSON when both go to one file."""
    text = "fio: warning\n" + json.dumps(document([Job().entry()]))
    assert 1 == len(parse_fio_result(text, "r.json").rows)


def test_clones_are_one_row():
    """Two entries of a group are two clones; one entry with numjobs=4 was reported as a group."""
    entries = [Job(iodepth=4, numjobs=2).entry(), Job(iodepth=4, numjobs=2).entry()]
    entries += [Job(numjobs=4, group=1, iops=40_000).entry()]
    apart, grouped = parse_fio_result(json.dumps(document(entries)), "r.json").rows
    assert (apart.clones, apart.in_flight, apart.iops, apart.reads) == (2, 8, 20_000, 2000)
    assert (grouped.clones, grouped.in_flight, grouped.system_ns) == (4, 4, 3_000)


def test_an_engine_that_waits_has_one_read_in_flight():
    """psync knows no iodepth; libaio and io_uring do."""
    entries = [
        Job(iodepth=8, group=at).entry(ioengine=engine) for at, engine in enumerate(["psync", "io_uring"])
    ]
    rows = parse_fio_result(json.dumps(document(entries)), "r.json").rows
    assert [1, 8] == [row.in_flight for row in rows]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rw": "randwrite"}, "rw=randwrite is not read or randread"),
        ({"direct": "0"}, "direct is not 1"),
        ({"rate_iops": "100"}, "rate_iops=100"),
        ({"bssplit": "4k/50:8k/50"}, "bssplit=4k/50:8k/50"),
        ({"random_distribution": "zipf:1.1"}, "random_distribution=zipf:1.1"),
        ({"bs": "4k5"}, "'4k5' is not understood"),
        ({"bs": "1000"}, "not whole sectors"),
        ({"bs": "0"}, "bs=0 is not whole sectors"),
        ({"bs": "1g"}, "up to 16 MiB"),
        ({"numjobs": "0"}, "has 0 reads in flight, not 1 to 1024"),
        ({"iodepth": "5000"}, "has 5000 reads in flight"),
    ],
)
def test_what_says_nothing_of_a_device_is_left_out_by_name(options, reason):
    """A line names file, job and reason; the others are read."""
    entries = [Job().entry(**options), Job(group=1, iodepth=2).entry()]
    result = parse_fio_result(json.dumps(document(entries)), "r.json")
    (left_out,) = result.left_out
    assert left_out.startswith("r.json: job randread-4096-1: ")
    assert reason in left_out
    assert [2] == [row.in_flight for row in result.rows]


def test_jobs_that_ran_beside_others_or_failed_are_left_out():
    """A group of two kinds is no one's latency; an error is told with its number; nothing read is no rate."""
    entries = [Job().entry(), Job(bs=8192).entry(), Job(group=1).entry() | {"error": 22}]
    entries += [Job(group=2, iops=0.0).entry()]
    result = parse_fio_result(json.dumps(document(entries)), "r.json")
    assert () == result.rows
    assert ["beside jobs", "error 22", "read nothing"] == [
        next(word for word in ("beside jobs", "error 22", "read nothing") if word in line)
        for line in result.left_out
    ]


def test_buffered_jobs_are_taken_if_asked_for():
    """--buffered: what readpath exports has no O_DIRECT."""
    text = json.dumps(document([Job().entry(direct="0")]))
    assert 1 == len(parse_fio_result(text, "r.json", buffered=True).rows)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"jobs": [1]}', '{"fio version": "f", "time": "t", "jobs": [{}]}']
)
def test_what_is_no_result_is_told(text):
    """One line, with what it should have been."""
    with pytest.raises(ConfigError, match=r"allowed: a result of fio --output-format=json"):
        parse_fio_result(text, "r.json")


def test_of_a_job_that_several_results_have_the_median_is_taken():
    """Three results of one job, and one of another: two rows, in the order in which they came."""
    several = [
        parse_fio_result(json.dumps(document([Job(iops=iops, sys_cpu=3.0).entry()])), "r.json")
        for iops in (9_000, 50_000, 10_000)
    ]
    several.append(parse_fio_result(json.dumps(document([Job(iodepth=2).entry()])), "o.json"))
    one, other = rows_of(several)
    assert (10_000, "3 results", 3000, 3_000) == (one.iops, one.file, one.reads, one.system_ns)
    assert (2, "o.json") == (other.in_flight, other.file)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 1 << 70), st.text(max_size=3), st.just([]), st.just({})
)


@settings(max_examples=200, deadline=None)
@given(st.data(), JUNK)
def test_whatever_stands_in_a_result_is_read_or_told(data, junk):
    """Any value in any place: rows with sane figures, jobs left out, or one line."""
    said = json.loads(json.dumps(document([Job().entry(), Job(iodepth=4, group=1).entry()])))
    at = said
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            at[key] = junk
            break
        at = at[key]
    try:
        result = parse_fio_result(json.dumps(said), "r.json")
    except ConfigError:
        return
    for row in result.rows:
        assert row.iops > 0
        assert row.bs_bytes > 0
        assert 1 <= row.in_flight <= 1024
        assert min(row.lat_ns, row.system_ns, row.user_ns) >= 0
