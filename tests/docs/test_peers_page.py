"""docs/peers.md: its code prints its table, and its sentences say what models and layouts say."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from sim.block.dm.integrity import SECTORS_PER_BITMAP_BIT
from sim.integrity.csum_tree import csums_per_item
from sim.integrity.interleaved import BUFFER_SECTORS, Interleaved
from sim.records.peer_case import load_peer_cases
from sim.volume.tag_reads import run_reads

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
BORDERS = "<!-- python peers.py -->\n", "<!-- end of peers -->"


def printed() -> str:
    """Return what the page's code prints, under a head."""
    (code,) = re.findall(r"```python\n# peers\.py\n(.*?)```", PAGE, re.DOTALL)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "peers.py", "exec"), {})
    head = "| request | peer | bios | KiB read | KiB written |\n|---|---|---|---|---|\n"
    return head + out.getvalue()


def test_the_table_is_what_the_code_prints() -> None:
    """`python tests/docs/test_peers_page.py` writes it anew."""
    assert printed() == PAGE.split(BORDERS[0])[1].split(BORDERS[1])[0]


def test_the_sentences_are_right() -> None:
    """Numbers of cases, layouts, sections, leaves."""
    cases = sum(
        len(load_peer_cases(p)) for p in (ROOT / "results/kernel/linux-6.1.192/peers").glob("*.jsonl")
    )
    assert f"{cases} recorded cases" in PAGE
    device = Interleaved(4096, 4)
    sections = f"{device.section_entries} blocks, {device.section_sectors} sectors"
    assert f"blocks of 4 KiB: {sections}" in PAGE
    assert "in all; btrfs" in PAGE
    assert f"in mode J, {device.section_sectors // 2} KiB" in PAGE
    tags_mib = BUFFER_SECTORS * 512 // 4 * 4096 >> 20
    assert f"the tags of {tags_mib} MiB" in PAGE
    assert f"a region of {SECTORS_PER_BITMAP_BIT * 512 >> 20} MiB" in PAGE
    assert f"{csums_per_item(16384, 'crc32c') * 4096 / 2**20:.1f} MiB of data" in PAGE


def test_the_three_layouts_are_as_they_are_run() -> None:
    """16 random blocks of a contiguous file: blocks of tags, and of data that nobody asked for."""
    of = {
        r.said[0] + str(r.said[3]): (r.tag_blocks, r.more_blocks)
        for r in run_reads()
        if (r.file, r.pattern) == ("contiguous", "random") and r.said[2] == "crc32c"
    }
    assert (1, 0) == of["table_all0"] == of["table_data0"] == of["per_extent1"]
    assert (1, 150) == of["per_extent16"]
    assert "and of 16 blocks 1 and 150 more blocks" in PAGE


if __name__ == "__main__":
    before, rest = PAGE.split(BORDERS[0])
    text = before + BORDERS[0] + printed() + BORDERS[1] + rest.split(BORDERS[1])[1]
    (ROOT / "docs" / "peers.md").write_text(text, encoding="utf-8")
