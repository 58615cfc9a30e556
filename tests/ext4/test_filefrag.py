"""
The text of `filefrag -v`: what is taken, what is refused and by which name and line, what becomes of the
file's end, and images of layouts that lie where our own metadata would.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import e2fsck, found, tool

from sim.errors import ConfigError
from sim.ext4.check.run import check_image
from sim.ext4.format.extents import Extent
from sim.ext4.format.features import Compat
from sim.ext4.make.fiemap import parse_fiemap
from sim.ext4.make.filefrag import parse_filefrag
from sim.ext4.make.layout import Placed
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image

HEAD = " ext:     logical_offset:        physical_offset: length:   expected: flags:"
ROWS = (
    "   0:        0..       1:       7003..      7004:      2:            ",
    "   1:        2..      10:       7019..      7027:      9:       7005: unwritten",
    "   2:       11..      11:       7028..      7028:      1:             last,eof",
)


def text(*rows: str, size: int = 12 * 4096, unit: int = 4096, head: str = HEAD, tail: str = "") -> str:
    """Return what filefrag prints for a file f of `size` bytes."""
    blocks = -(-size // unit)
    unit_words = f"({blocks} block{'' if blocks == 1 else 's'} of {unit} bytes)"
    begin = f"Filesystem type is: ef53\nFile size of f is {size} {unit_words}\n{head}\n"
    return begin + "\n".join(rows) + f"\nf: {len(rows)} extents found\n" + tail


def row(number: int, logical: int, physical: int, length: int, flags: str = "") -> str:
    """Return a row of the text."""
    ends = logical + length - 1, physical + length - 1
    return (
        f"{number:4}: {logical:8}..{ends[0]:8}: {physical:10}..{ends[1]:10}: {length:6}:             {flags}"
    )


def made(tmp_path: Path, layout: Placed, size: int | None = None, block_size: int = 4096) -> Image:
    """Return an image of a file of a layout, which our check and e2fsck find nothing wrong with."""
    make_image(tmp_path / "a.img", ImageSpec((FileSpec("/f", size, layout),), block_size))
    image = Image.open(tmp_path / "a.img")
    assert not check_image(image)
    if found("e2fsck") is not None:
        e2fsck(tmp_path / "a.img")
    return image


def test_rows_and_size() -> None:
    """Rows in the header's unit, the size in bytes."""
    want = (Extent(0, 7003, 2, False), Extent(2, 7019, 9, True), Extent(11, 7028, 1, False))
    assert Placed(want, (), 12 * 4096) == parse_filefrag("f", text(*ROWS), 4096)
    assert Placed((), (), 5) == parse_filefrag("f", text(size=5), 4096)
    assert Placed(want, (), 12 * 4096) == parse_filefrag("f", text(*ROWS).rsplit("\n", 2)[0], 4096)


@pytest.mark.parametrize("flags", ["shared", "last,shared,eof", "merged", "encrypted", "last,eof", ""])
def test_flags_that_are_taken(flags: str) -> None:
    """A clone, a merged list, encryption block by block: the blocks are the file's."""
    assert (Extent(0, 50, 3, False),) == parse_filefrag("f", text(row(0, 0, 50, 3, flags)), 4096).extents


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("last,encoded,eof", r"f:4: is encoded \(flag 0x8\)"),
        ("encoded,encrypted", r"f:4: is encoded \(flag 0x8\)"),
        ("last,not_aligned,inline,eof", r"f:4: is not_aligned \(flag 0x100\), inline \(flag 0x200\)"),
        ("last,unknown_loc,delalloc,eof", r"f:4: is unknown \(flag 0x2\), delalloc \(flag 0x4\)"),
        ("tail_packed", r"f:4: is tail \(flag 0x400\)"),
        ("net", r"f:4: is net \(flag 0x80000000\)"),
        ("last,0x4000,eof", r"f:4: flag '0x4000' is not known"),
        ("unwriten", r"f:4: flag 'unwriten' is not known"),
    ],
)
def test_flags_that_are_refused(flags: str, words: str) -> None:
    """What has no blocks of its own is refused by its name, with the line."""
    with pytest.raises(ConfigError, match=words):
        parse_filefrag("f", text(row(0, 0, 50, 3, flags)), 4096)


def test_a_row_without_a_place_is_refused_by_its_flag() -> None:
    """Newer programs leave the device's blocks blank where there are none."""
    line = (
        "   0:        0..       2:          0..         :      3:             last,unknown_loc,delalloc,eof"
    )
    with pytest.raises(ConfigError, match=r"f:4: is unknown \(flag 0x2\), delalloc"):
        parse_filefrag("f", text(line), 4096)


@pytest.mark.parametrize("bit", [0x2, 0x4, 0x8, 0x100, 0x200, 0x400, 0x4000, 0x8000_0000])
def test_the_same_flags_of_fiemap(bit: int) -> None:
    """A FIEMAP list is held to the same flags, by their bits; unknown ones too."""
    with pytest.raises(ConfigError, match=rf"f: extent 0: .*{bit:#x}"):
        parse_fiemap("f", f"[[0, 8192, 4096, {bit | 1}]]", 4096)


TWO = text(*ROWS) + text(*ROWS)
MANGLED = [
    (text(*ROWS[:2], ROWS[2].replace("last,eof", ""), "last,eof"), "f:7: 'last,eof' is not understood"),
    (text(ROWS[0], ROWS[1][:50], ROWS[1][50:], ROWS[2]), "f:5: .* is not understood"),
    (text(*ROWS[:2], "> " + ROWS[2]), "f:6: .* is not understood"),
    ("".join(f"> {line}\n" for line in text(*ROWS).splitlines()), "f:1: .* not between the lines"),
    (text(ROWS[0], ROWS[2]), "f:5: row 2; allowed: row 1"),
    (text(ROWS[1]), "f:4: row 1; allowed: row 0"),
    (text(ROWS[0], ROWS[0]), "f:5: row 0; allowed: row 1"),
    (text(row(0, 5, 9, 3), row(1, 6, 50, 3)), "f:5: begins inside the row before"),
    (text(row(0, 5, 9, 3), row(1, 0, 50, 3)), "f:5: begins inside the row before"),
    (text(row(0, 0, 9, 3).replace("     3:", "     4:")), r"f:4: length 4 for 0\.\.2 at 9\.\.11"),
    (text("0: 0.. 3: 9.. 11: 3: eof"), r"f:4: length 3 for 0\.\.3 at 9\.\.11"),
    (text("0: 0.. 2: 9.. 12: 3: eof"), r"f:4: length 3 for 0\.\.2 at 9\.\.12"),
    (text("0: 3.. 2: 9.. 8: 0: eof"), "f:4: length 0"),
    (text("0: 0.. f: 9.. 18: 10: eof"), "f:4: .* is not understood"),
    (TWO, "f:9: a second file"),
    (text(*ROWS, head=HEAD.replace("  expected:", " dev:")), "f:3: a column of devices"),
    (text(*ROWS, head=HEAD.replace("logical_offset", "device_logical", 1)), "f:3: a column of devices"),
    (text(*ROWS, head=" ext: logical: physical: length: flags:"), "f:3: columns 'ext: logical"),
    (text(*ROWS, head=""), "f:4: .* not between the lines of the columns"),
    (text(*ROWS).replace("12 blocks of", "13 blocks of"), "f:2: 49152 bytes in 13 blocks of 4096 bytes"),
    (text(*ROWS).replace("of 4096 bytes", "of 0 bytes"), "f:2: .* blocks of 0 bytes"),
    (text(*ROWS).replace("(12 blocks", "(12\nblocks"), "f:2: .* has no"),
    (text(*ROWS, tail="$ \n"), r"f:8: '\$' not between"),
    (text(*ROWS, tail=row(3, 12, 90, 1)), "f:8: .* not between"),
    (text(*ROWS[:2]).replace("f: 2 extents found\n", ""), "f: ends before the last extent"),
    (text(*ROWS[:2]).replace("f: 2 ", "f: 3 "), "f:6: 3 extents found in 2 rows"),
    ("Filesystem type is: ef53\n", r"f: has no line with '\(N blocks of N bytes\)'"),
    (text(row(0, 0, 50, 3), row(1, 4, 52, 3)), "f: block 52 of the device at logical blocks 0 and 4"),
    (text("0: 0.. 0: 9.. 9: " + "1" * 5000 + ": eof"), "f:4: a number of 5000 digits"),
]


@pytest.mark.parametrize(("mangled", "words"), MANGLED)
def test_mangled_text_is_refused_with_its_line(mangled: str, words: str) -> None:
    """Wrapped, quoted, cut, doubled and foreign text never gives a layout."""
    with pytest.raises(ConfigError, match=words):
        parse_filefrag("f", mangled, 4096)


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_no_line_is_dropped_in_silence(data: st.DataObject) -> None:
    """A row that is cut, quoted, doubled or gone is told, unless it says the same (a change in blanks)."""
    lines = text(*ROWS).splitlines()
    index = data.draw(st.integers(3, 5))
    line = lines[index]
    cut = data.draw(st.integers(1, len(line.rstrip()) - 1))
    broken = data.draw(
        st.sampled_from(
            [[line[:cut], line[cut:]], ["> " + line], [line, line], [], [line[: line.rindex(":")]]]
        )
    )
    whole = parse_filefrag("f", text(*ROWS), 4096)
    try:
        found = parse_filefrag("f", "\n".join(lines[:index] + broken + lines[index + 1 :]), 4096)
    except ConfigError:
        return
    assert found == whole


@pytest.mark.parametrize("size", [1, 4095, 4096, 12 * 4096 - 1, 12 * 4096, 20 * 4096 + 5])
def test_the_file_is_as_large_as_the_text_says(tmp_path: Path, size: int) -> None:
    """A hole at the end, an odd size, and blocks behind the end, which are unwritten ones."""
    layout = parse_filefrag("f", text(*ROWS, size=size), 4096)
    inode = made(tmp_path, layout).lookup("/f")
    blocks = -(-size // 4096)
    assert size == inode.size_bytes
    mapped = {b: e.unwritten for e in inode.tree.extents for b in range(e.logical, e.logical + e.length)}
    assert {b: b >= blocks or 2 <= b < 11 for b in range(12)} == mapped
    with pytest.raises(ConfigError, match=f"/f: size: 4097; allowed: {size}, as the layout's text says"):
        made(tmp_path, layout, 4097)


def test_blocks_preallocated_behind_the_end(tmp_path: Path) -> None:
    """262 blocks of data, 262 preallocated, by their flag or without one; the size may be said again."""
    for flags in ("unwritten,eof", "eof"):
        layout = parse_filefrag(
            "f", text(row(0, 0, 33497, 262), row(1, 262, 33759, 262, flags), size=1073152), 4096
        )
        image = made(tmp_path, layout, 1073152)
        assert 1073152 == image.lookup("/f").size_bytes
        assert [(0, 33497, 262, False), (262, 33759, 262, True)] == image.lookup("/f").tree.extents
    one = parse_filefrag("f", text(row(0, 0, 33497, 524), size=1073152), 4096)
    assert ((0, 33497, 262, False), (262, 33759, 262, True)) == one.extents


def test_size_of_a_fiemap_list(tmp_path: Path) -> None:
    """file_bytes is the size, if it is said; it must be a number."""
    layout = parse_fiemap("f", '{"file_bytes": 9000, "extents": [[0, 8192000, 4096, 0]]}', 4096)
    assert 9000 == made(tmp_path, layout).lookup("/f").size_bytes
    for bad in ("-1", '"x"', "true"):
        with pytest.raises(ConfigError, match="f: file_bytes"):
            parse_fiemap("f", f'{{"file_bytes": {bad}, "extents": []}}', 4096)


@pytest.mark.parametrize(
    ("first", "length", "backups"),
    [
        (20_000, 6_000, (0, 1)),  # over group 3's; with 5 and more there is none
        (8_000, 18_000, (0,)),  # over those of 1 and 3: all there are
        (8_300, 18_000, (0, 1)),
        (25_000, 20_000, (0, 1, 3)),  # over group 5's
        (24_700, 8_000, (0, 1, 3)),  # between two: nothing changes
        (1_000, 1_000, (0,)),  # one group
    ],
)
def test_long_extents_lie_where_backups_would(
    tmp_path: Path, first: int, length: int, backups: tuple[int, ...]
) -> None:
    """A real file's extent over the place of a superblock's backup: then the image has fewer of those."""
    said = text(row(0, 0, first, length), size=length * 1024, unit=1024)
    image = made(tmp_path, parse_filefrag("f", said, 1024), block_size=1024)
    sb = image.superblock
    assert length == sum(extent.length for extent in image.lookup("/f").tree.extents)
    assert backups == tuple(group for group in range(sb.groups_count) if sb.has_backup(group))
    would = [8192 * group + 1 for group in (1, 3, 5, 7) if group < sb.groups_count]
    assert bool(sb.compat & Compat.SPARSE_SUPER2) == any(first <= at < first + length for at in would)
    with (tmp_path / "a.img").open("rb") as file:
        for group in backups[1:]:
            file.seek((8192 * group + 1) * 1024 + 56)
            assert file.read(2) == b"\x53\xef"


def test_blocks_of_the_superblock_itself_are_refused(tmp_path: Path) -> None:
    """The first blocks of a device cannot be a file's; the error names the block and what is free."""
    layout = parse_filefrag("f", text(row(0, 0, 1, 3), size=3 * 4096), 4096)
    with pytest.raises(ConfigError, match=r"block 1 of the device, for logical block 0; allowed: 2 and more"):
        make_image(tmp_path / "a.img", ImageSpec((FileSpec("/f", None, layout),), 4096))


def test_what_filefrag_prints_here(tmp_path: Path) -> None:
    """The text of the program on this machine is understood, if the file system under it has FIEMAP."""
    (tmp_path / "f").write_bytes(bytes(range(256)) * 64)
    done = subprocess.run(
        [tool("filefrag"), "-vs", str(tmp_path / "f")], capture_output=True, text=True, check=False
    )
    if done.returncode or "File size of" not in done.stdout or "last,eof" not in done.stdout:
        pytest.skip("no FIEMAP here, or of a kind that is refused by name")
    assert 16384 == parse_filefrag("f", done.stdout, 4096).size_bytes
