"""The timeline of one read window: its numbers are the core's, and the figure shows them."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import pytest

from sim.engine.costs import DEFAULT_MACHINE, PS_PER_NS, load_costs
from sim.errors import ConfigError
from sim.machine.timeline import LAYOUTS, watch
from sim.report.style import RC
from sim.report.timeline import counts, draw_timeline, pieces, timeline_pages

PATHS = ("buffer_head", "mpage", "page_io", "iomap")
CONTIGUOUS, FRAGMENTED = LAYOUTS
COUNTS = {
    # (map calls, bios, commands, completions) of 8 pages of 1 KiB blocks
    ("buffer_head", CONTIGUOUS): (32, 32, 1, 32),
    ("mpage", CONTIGUOUS): (1, 1, 1, 1),
    ("page_io", CONTIGUOUS): (1, 1, 1, 1),
    ("iomap", CONTIGUOUS): (1, 1, 1, 1),
    ("buffer_head", FRAGMENTED): (32, 32, 32, 32),
    # two calls find out that a page is not contiguous, four more are block_read_full_folio's
    ("mpage", FRAGMENTED): (48, 32, 32, 32),
    ("page_io", FRAGMENTED): (48, 32, 32, 32),
    ("iomap", FRAGMENTED): (32, 32, 32, 32),
}
EVERY = pytest.mark.parametrize(("path", "layout"), COUNTS)


@EVERY
def test_counts(path, layout):
    """Per block on the buffer-head path, per window on the others; per block on all when fragmented."""
    assert COUNTS[path, layout] == counts(watch(path, layout))


@EVERY
def test_work_is_all_accounted_for(path, layout):
    """Each span is as long as its groups together, spans of a lane do not overlap, and pieces fill them."""
    seen = watch(path, layout)
    for lane in (seen.task, seen.irq):
        assert lane
        assert all(before.end_ns <= after.start_ns for before, after in pairwise(lane))
        for span in lane:
            # a burst is whole ns, what is left over goes into the next
            assert abs(sum(span.groups.values()) - (span.end_ns - span.start_ns)) < 1
            drawn = sum(piece.length_us for piece in pieces(span))
            assert abs(drawn * 1000 - sum(span.groups.values())) < 1e-6
    assert sum(span.bios for span in seen.task) == seen.count("Q")
    assert sum(span.bios for span in seen.irq) == seen.calls["bio_endio"]


@EVERY
def test_the_order_of_a_read(path, layout):
    """Submitted, then a wait for the page, at the device for its latency, interrupts, pages ready, return."""
    seen = watch(path, layout, latency_ns=5_000)
    assert {5_000} == {completed - issued for issued, completed in seen.commands}
    wait_ns = load_costs(DEFAULT_MACHINE)["folio_put_wait_locked"].self_ps / PS_PER_NS
    assert abs(seen.task[0].end_ns - wait_ns - min(issued for issued, _ in seen.commands)) <= 1
    assert seen.irq[0].start_ns == min(completed for _, completed in seen.commands)
    assert seen.irq[-1].end_ns == seen.uptodate[-1][0] == seen.task[-1].start_ns
    assert (8, seen.task[-1].end_ns) == (sum(pages for _, pages in seen.uptodate), seen.end_ns)


def test_fewer_blocks_fewer_pieces():
    """With blocks as large as pages the buffer-head path has one piece per page."""
    assert (8, 8, 1, 8) == counts(watch("buffer_head", CONTIGUOUS, block_size=4096))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"path": "zfs"}, "timeline: path: 'zfs' is not modelled; allowed: buffer_head, mpage"),
        ({"layout": "spiral"}, "timeline: layout: 'spiral' is not modelled; allowed: contiguous, 1-block"),
        ({"block_size": 512}, "timeline: block_size: 512 is not modelled; allowed: 1024, 2048, 4096"),
        ({"pages": 0}, "timeline: pages: 0 is not modelled; allowed: 1 to 256"),
    ],
)
def test_what_is_not_modelled(wrong, text):
    """A path, layout or size that there is not is an error that names those there are."""
    asked = {"path": "mpage", "layout": CONTIGUOUS} | wrong
    with pytest.raises(ConfigError, match=text):
        watch(asked.pop("path"), asked.pop("layout"), **asked)


def test_the_figure_says_the_counts():
    """Each path has its lanes and, beside them, its counts and the time of the whole read."""
    line = watch("buffer_head", CONTIGUOUS)
    with mpl.rc_context(RC):
        (figure,) = timeline_pages([[line]], "about", "note")
    (panel,) = figure.axes
    texts = [text.get_text() for text in panel.texts]
    assert ["reader", "device", "interrupt", "pages ready", "buffer_head"] == [
        text for text in texts if text in ("reader", "device", "interrupt", "pages ready", "buffer_head")
    ]
    assert ["32", "32", "1", "32", f"{line.end_ns / 1000:.1f}"] == texts[-10:-5]
    assert "time since read(2), µs" == panel.get_xlabel()


def test_the_figure_repeats_to_the_byte(tmp_path):
    """Watching and drawing twice gives the same SVG and PNG."""
    both = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        blocks = [[watch(path, layout) for path in PATHS] for layout in LAYOUTS]
        files = draw_timeline(blocks, "about", "note", tmp_path / name)
        both.append([path.read_bytes() for path in files])
    assert 2 == len(both[0])
    assert both[0] == both[1]
