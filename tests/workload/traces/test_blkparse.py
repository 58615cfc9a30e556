"""blkparse's text: the bios that were queued, of real output and of our own."""

from __future__ import annotations

from sim.workload.traces.formats import read_trace
from sim.workload.traces.trace import Access

TEXT = """\
  8,0    3        1     1.000000000   697  Q   R 223490 + 8 [kjournald]
  8,0    3        2     1.000001829   697  G   R 223490 + 8 [kjournald]
  8,0    3        3     1.000002197   697  P   N [kjournald]
  8,0    1        1     1.500000000   701  Q  WS 64 + 16 [my prog [1]]
  8,0    1        2     1.600000000   701  Q  DS 64 + 16 [fstrim]
  8,0    1        3     1.700000000   701  Q FWS [kworker]
  8,0    1        3     1.800000000   701  D   R 223490 + 8 [kjournald]
CPU0 (8,0):
 Reads Queued:           1,        4KiB\t Writes Queued:           1,        8KiB
Total (8,0):
Throughput (R/W): 1KiB/s / 2KiB/s
Events (8,0): 7 entries
Skips: 0 forward (0 -   0.0%)
"""


def test_queued_bios_are_the_load():
    """Reads and writes that were queued, from the first on; all else is skipped, each line by its reason."""
    trace = read_trace(TEXT, "out.txt")
    assert ("blkparse", "block") == (trace.format, trace.kind)
    assert [
        Access(0, 0, 223490 * 512, 4096, 4096, 0),
        Access(1, 0, 64 * 512, 8192, 8192, 500_000_000, write=True),
    ] == trace.accesses
    assert ["697 kjournald", "701 my prog [1]"] == trace.streams
    assert {"8,0": 223490 * 512 + 4096} == trace.files
    assert {
        "action G: follows from what is queued": 1,
        "action P: follows from what is queued": 1,
        "discard: not modelled": 1,
        "no sectors in it": 1,
        "action D: follows from what is queued": 1,
        "summary": 6,
    } == dict(trace.skipped)
    assert 13 == trace.lines
