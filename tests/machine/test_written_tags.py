"""
Checksums of what jobs write, byte by byte: in the image behind a run, by its log and by e2fsck, each is of
what lies there.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from crash_cells import Played, cell_of, cell_text, played
from hypothesis import given, settings
from hypothesis import strategies as st
from written_image import check_written

from sim.errors import ConfigError, ImageError, InvariantError
from sim.experiment.loading import load_experiment
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.read.reader import Image
from sim.integrity.algorithms import ALGORITHMS
from sim.integrity.extents import TAGS_KEY, TaggedRun, decode, encode_list, files_of, run_place, runs_of
from sim.integrity.pieces import joined
from sim.integrity.protect import check_data
from sim.integrity.tables import geometry
from sim.integrity.units import ListUnits
from sim.machine.checksums import volume_tags
from sim.machine.run_cell import run_cell
from sim.machine.tag_judges import ListJudge
from sim.machine.written_tags import WrittenTags
from sim.volume.protected_image import secrets_for, tags_of

JOURNAL = {1: "1MiB", 2: "2MiB", 4: "4MiB"}
MOUNTS = {
    "ordered": "",
    "journal": 'data = "journal"',
    "nodelalloc": "delalloc = false",
    "writeback": 'data = "writeback"\ndelalloc = false',
    "dioread_lock": "dioread_nolock = false",
    "commits": 'commit = "200us"\ndelalloc = false',
}
LAYOUTS = {
    "contiguous": '{ kind = "contiguous" }',
    "fragmented": '{ kind = "fragmented", extent = "12KiB" }',
    "sparse": '{ kind = "sparse", data = "8KiB", hole = "8KiB" }',
    "unwritten": '{ kind = "unwritten" }',
}
JOBS = """
job = [
    { name = "a", filename = "f", rw = "randwrite", bsrange = "512-16k", blockalign = "512", size = "128k", io_size = "96k", fsync = "8", randrepeat = 0 },
    { name = "b", filename = "g", rw = "write", bs = "32k", size = "64k", end_fsync = "1" },
    { name = "c", filename = "g", rw = "randwrite", bs = "1k", size = "64k", io_size = "16k", fsync = "4", randrepeat = 0 },
]
"""  # noqa: E501


def text_of(
    sums: str, kib: int = 4, mount: str = "", layout: str = LAYOUTS["contiguous"], jobs: str = JOBS
) -> str:
    """Return an experiment of one cell."""
    volume = (
        f'block_size = "{kib}KiB"\njournal = "{JOURNAL[kib]}"\nfiles = [\n'
        f'{{ name = "f", size = "128KiB", layout = {layout} }},\n'
        '{ name = "g", size = "64KiB" },\n'
        '{ name = "h", size = "10KiB" },\n]'
    )
    return cell_text(volume, jobs, mount, crash="", more=f"[checksums]\n{sums}")


def naive(image: Image, run: Played) -> dict[int, bytes]:
    """
    Return what the table must hold for each block of a file, or each file's list, made anew of what lies in
    an image: by entry's number, or by inode; a list's runs are those that it says, which the check holds
    against the file. For algorithms without a counter.
    """
    plan, tagger = tags_of(image, run.cell.config.checksums, run.cell.config.encryption, 0)
    found: dict[int, bytes] = {}
    files = [inode for _, inode in files_of(image) if inode.number != plan.table_inode]
    if plan.is_table:
        shape = geometry(image, plan)
        for inode in files:
            for logical, physical, blocks in runs_of(inode, 0):
                for block in range(physical, physical + blocks):
                    row, at = shape.entry_of(block) or (-1, -1)
                    place = tagger.block(block, inode.number, logical + block - physical)
                    stored = bytes(image.read_block(block))
                    found[row * shape.per_block + at] = tagger.make(place, stored, b"")
        return found
    for inode in files:
        made = []
        for part in decode(inode, plan)[0]:
            extent = inode.tree.find(part.logical)
            assert extent is not None
            physical = extent.physical + part.logical - extent.logical
            place = run_place(tagger, inode, part.logical, part.blocks, physical)
            stored = b"".join(bytes(image.read_block(physical + at)) for at in range(part.blocks))
            made.append(TaggedRun(part.logical, part.blocks, tagger.make(place, stored, b"")))
        found[inode.number] = encode_list(plan, tagger, inode, made, b"")
        runs = [(logical, blocks) for logical, _, blocks in runs_of(inode, plan.extent_blocks)]
        if run.cell.config.checksums.overwrite == "read":
            assert runs == [(part.logical, part.blocks) for part in made]
    return found


def kept(image: Image, run: Played, wanted: dict[int, bytes]) -> dict[int, bytes]:
    """Return what an image has for these."""
    plan, _ = tags_of(image, run.cell.config.checksums, run.cell.config.encryption, 0)
    if plan.is_list:
        return {number: joined(image.inode(number).xattrs, TAGS_KEY) for number in wanted}
    shape, length = geometry(image, plan), plan.tag_bytes
    rows = [bytes(image.read_block(block)) for block in shape.own]
    places = {number: divmod(number, shape.per_block) for number in wanted}
    return {number: rows[row][at * length : (at + 1) * length] for number, (row, at) in places.items()}


def check(run: Played, folder: Path) -> Image:
    """
    The image is sound to e2fsck and has what was written; of blocks of files no checksum is wrong, and they
    are what one makes of the image.
    """
    image: Image = check_written(run, folder)
    config = run.cell.config
    done = check_data(image, secrets_for(image, config.checksums, config.encryption, 0))
    assert done is not None
    assert [] == [bad for bad in done.bad if bad.inode or run.cell.config.checksums.layout[:5] != "table"]
    if not ALGORITHMS[run.cell.config.checksums.algorithm].counted:
        wanted = naive(image, run)
        assert wanted
        assert wanted == kept(image, run, wanted)
    return image


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize(
    "sums",
    [
        'layout = "table_all"',
        'layout = "table_data"\nalgorithm = "aes-256-gcm"',
        'layout = "per_extent"\nextent_blocks = 8\nalgorithm = "hmac-sha256"',
        'layout = "per_extent_place"\nextent_blocks = 1',
        'layout = "per_extent_place"\nextent_blocks = 16\noverwrite = "split"',
        'layout = "per_extent"\nextent_blocks = 8\noverwrite = "split"\nalgorithm = "aes-256-gcm"',
    ],
)
def test_each_checksum_is_of_what_lies_there(tmp_path: Path, sums: str, mount: str) -> None:
    """e2fsck replays the log and finds the image sound; each checksum of a file's block is right."""
    check(played(text_of(sums, 4, MOUNTS[mount]), tmp_path), tmp_path)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw small jobs, where checksums lie, and how the volume is mounted."""
    layout = draw(st.sampled_from(["table_all", "table_data", "per_extent", "per_extent_place"]))
    names = [name for name in ALGORITHMS if layout != "per_extent_place" or not ALGORITHMS[name].counted]
    sums = f'layout = "{layout}"\nalgorithm = "{draw(st.sampled_from(names))}"'
    kinds, most = list(LAYOUTS), 1
    if layout.startswith("per_extent"):
        most = draw(st.sampled_from([1, 8, 3, 16]))
        sums += f"\nextent_blocks = {most}"
        sums += f'\noverwrite = "{draw(st.sampled_from(["read", "split"]))}"'
        kinds = ["contiguous"]
    jobs, rws = [], ["randwrite", "randrw"] if most == 1 else ["randwrite"]
    for number in range(draw(st.integers(1, 3))):
        bs = draw(st.sampled_from(['bs = "4k"', 'bs = "1k"', 'bsrange = "512-12k", blockalign = "512"']))
        sync = draw(st.sampled_from(["fsync = 1", "fsync = 3", "fdatasync = 2", "end_fsync = 1"]))
        name, rw, written = (
            draw(st.sampled_from("fg")),
            draw(st.sampled_from(rws)),
            draw(st.integers(1, 6)) * 8,
        )
        jobs.append(
            f'{{ name = "j{number}", filename = "{name}", rw = "{rw}", {bs}, size = "64k",'
            f' io_size = "{written}k", {sync}, randrepeat = 0 }}'
        )
    kib, mount = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from(list(MOUNTS)))
    layout = LAYOUTS[draw(st.sampled_from(kinds))]
    return text_of(sums, kib, MOUNTS[mount], layout, f"job = [{', '.join(jobs)}]")


@settings(max_examples=20)
@given(texts())
def test_whatever_is_written(text: str) -> None:
    """Random writes by jobs that share files: every checksum is the one that is made of the image anew."""
    with TemporaryDirectory() as folder:
        run = played(text, Path(folder))
        check(run, Path(folder))
        assert "reads_eio" not in run.result.metrics


def test_counts_are_those_without_bytes(tmp_path: Path) -> None:
    """data = "real" moves neither a count nor a time."""
    lists = ('layout = "per_extent"\nextent_blocks = 8', 'layout = "per_extent"\nextent_blocks = 1')
    for sums in ('layout = "table_data"', *lists):
        text = text_of(sums, 4, 'data = "ordered"', LAYOUTS["contiguous"]).replace('"128KiB"', '"2MiB"')
        found = []
        for data in ("real", "off"):
            cell, image = cell_of(text.replace('data = "real"', f'data = "{data}"', 1), tmp_path)
            metrics = dict(run_cell(cell, image, trace=False).metrics)
            found.append({name: metrics[name] for name in metrics if name != "digest_ok"})
        assert found[1] == found[0]


def test_files_that_jobs_make_have_checksums(tmp_path: Path) -> None:
    """A job makes a file, another takes it away and makes it again: the table has what lies there."""
    jobs = """
    job = [
        { name = "m", filename = "made", rw = "write", bs = "4k", size = "48k", fsync = 3, fallocate = "none" },
        { name = "n", filename = "again", rw = "write", bs = "8k", size = "32k", end_fsync = 1, loops = 2, unlink_each_loop = 1, fallocate = "none" },
    ]
    """  # noqa: E501
    text = text_of('layout = "table_data"', jobs=jobs).replace(
        '{ name = "h"',
        '{ name = "made", size = "48KiB", layout = { kind = "absent" } },\n'
        '{ name = "again", size = "32KiB", layout = { kind = "absent" } },\n{ name = "h"',
    )
    run = played(text, tmp_path)
    image = check(run, tmp_path)
    assert image.lookup("/made").size_bytes == 48 << 10
    assert int(run.result.metrics["checksums_computed"]) >= 12 + 8


@pytest.mark.parametrize("kib", [1, 4])
@pytest.mark.parametrize(
    "sums",
    [
        'layout = "table_data"',
        'layout = "per_extent"\nextent_blocks = 1',
        'layout = "per_extent"\nextent_blocks = 1\nalgorithm = "aes-256-gcm"\nread = "before"',
        'layout = "per_extent_place"\nextent_blocks = 1\nalgorithm = "sha256"\noverwrite = "split"',
    ],
)
@pytest.mark.parametrize("mount", ["", 'commit = "200us"\ndelalloc = false', 'data = "journal"'])
def test_what_is_written_is_read_back_with_its_checksums(
    tmp_path: Path, sums: str, mount: str, kib: int
) -> None:
    """A job that reads and writes in little memory: what comes back from the disk has its checksum."""
    jobs = """
    job = [{ name = "m", filename = "f", rw = "randrw", bs = "4k", size = "1m", io_size = "2m", fsync = 16, randrepeat = 0 }]
    """  # noqa: E501
    text = text_of(sums, kib, mount, jobs=jobs).replace('"128KiB"', '"1MiB"')
    run = played(
        text.replace('"sata-ssd"', '"sata-ssd"\nread_ahead_kb = 16') + '[machine]\nmemory = "512KiB"\n',
        tmp_path,
    )
    check(run, tmp_path)
    assert int(run.result.metrics["checksums_verified"]) > 64
    assert "reads_eio" not in run.result.metrics


def test_a_block_whose_checksum_is_to_follow_is_good(tmp_path: Path) -> None:
    """
    What was submitted and comes back before its checksum is computed is taken as good, not what lies beside
    it; once it has one, what lay there before is wrong.
    """
    cell, image = cell_of(text_of('layout = "table_data"'), tmp_path)
    volume = Image.open(image)
    tags = volume_tags(cell.config, volume)
    assert tags is not None
    written = tags.written(OverlayStore(volume.store))
    judge = tags.of_made("/g", volume.lookup("/g").number).judge
    assert judge is not None
    inode: Any = SimpleNamespace(journalled=False, number=volume.lookup("/g").number)
    first = volume.lookup("/g").tree.extents[0].physical
    old, new = bytes(volume.store.read(first * 4096, 8192)), b"\7" * 4096
    assert [] == judge.bad(0, first, 2, old)
    written.submitted(first, new)
    assert [] == judge.bad(0, first, 2, new + old[4096:])
    assert [(1, 1)] == judge.bad(0, first, 2, new + new)
    written.pieces_written(inode, [(0, first, 1)])
    assert [] == judge.bad(0, first, 2, new + old[4096:])
    assert [(0, 1)] == judge.bad(0, first, 2, old)


def test_a_run_of_a_block_whose_checksum_is_to_follow_is_good(tmp_path: Path) -> None:
    """With a list it is as with a table, and no block beside it is taken as good."""
    cell, image = cell_of(text_of('layout = "per_extent"\nextent_blocks = 1'), tmp_path)
    inode = Image.open(image).lookup("/g")
    units = ListUnits(*tags_of(Image.open(image), cell.config.checksums, cell.config.encryption, 0), inode)
    pending: set[int] = set()
    judge = ListJudge(lambda _blocks: units, False, lambda: units, pending)
    other = b"\7" * 4096
    assert [(1, 1)] == judge.bad(1, 0, 1, other)
    pending.add(inode.tree.extents[0].physical + 1)
    assert [[], [(0, 1)], [(2, 1)]] == [judge.bad(lblk, 0, 1, other) for lblk in (1, 0, 2)]


def experiment_of(text: str, image: Path, folder: Path) -> Path:
    """Return an experiment of an image that is there, with the files' names in its jobs."""
    lines = text.splitlines()
    first = lines.index("[volume]") + 1
    lines[first : lines.index("[device]")] = [f'image = "{image}"']
    path = folder / "given.toml"
    path.write_text("\n".join(lines))
    return path


def test_what_was_wrong_before_is_eio_with_a_list_as_well(tmp_path: Path) -> None:
    """
    One file, whose list is kept up: of two blocks with a bit that was flipped both are EIO for who reads it
    first, and one for who reads it when the other was written over.
    """
    jobs = """
    job = [
        { name = "r", filename = "f", rw = "read", bs = "4k", size = "128k", continue_on_error = "read" },
        { name = "w", filename = "f", rw = "write", bs = "4k", size = "16k", end_fsync = 1, stonewall = 1 },
        { name = "s", filename = "f", rw = "read", bs = "4k", size = "128k", stonewall = 1, invalidate = 1, continue_on_error = "read" },
    ]
    """  # noqa: E501
    sums = 'layout = "per_extent"\nextent_blocks = 1'
    text = text_of(sums, jobs=jobs)
    _, image = cell_of(text, tmp_path)
    first = Image.open(image).lookup("/f").tree.extents[0].physical
    raw = bytearray(image.read_bytes())
    for block in (2, 20):
        raw[(first + block) * 4096 + 100] ^= 4
    (tmp_path / "wrong.img").write_bytes(raw)
    (cell,) = load_experiment(experiment_of(text, tmp_path / "wrong.img", tmp_path)).cells
    found = run_cell(cell, tmp_path / "wrong.img", trace=False).metrics
    assert (2 + 1, 30 + 31) == (found["reads_eio"], found["reads_right"])


@pytest.mark.parametrize("wrong", ["data", "row"])
def test_what_was_wrong_before_is_eio_for_readers_beside_writers(tmp_path: Path, wrong: str) -> None:
    """
    A bit of one file's block, or of the row that has its checksum, is flipped on the image: who reads the
    file gets EIO while a job writes another, whose checksums are kept up; nobody writes into a wrong row.
    """
    jobs = """
    job = [
        { name = "r", filename = "f", rw = "read", bs = "4k", size = "128k", continue_on_error = "read" },
        { name = "w", filename = "g", rw = "randwrite", bs = "4k", size = "64k", io_size = "64k", fsync = 2 },
    ]
    """
    text = text_of('layout = "table_data"', jobs=jobs)
    cell, image = cell_of(text, tmp_path)
    volume = Image.open(image)
    plan, _ = tags_of(volume, cell.config.checksums, cell.config.encryption, 0)
    block = volume.lookup("/f").tree.extents[0].physical + 5
    if wrong == "row":
        shape = geometry(volume, plan)
        entry = shape.entry_of(block)
        assert entry is not None
        block = shape.own[entry[0]]
    raw = bytearray(image.read_bytes())
    raw[block * 4096 + 100] ^= 4
    (tmp_path / "wrong.img").write_bytes(raw)
    (wrong_cell,) = load_experiment(experiment_of(text, tmp_path / "wrong.img", tmp_path)).cells
    if wrong == "row":
        with pytest.raises(ImageError, match=r"block \d+ of the table does not have its own tag"):
            run_cell(wrong_cell, tmp_path / "wrong.img", trace=False)
        return
    found = run_cell(wrong_cell, tmp_path / "wrong.img", trace=False).metrics
    assert (1, 31, 2) == (found["reads_eio"], found["reads_right"], found["checksums_failed"])
    assert int(found["checksums_computed"]) >= 16


def test_runs_that_were_cut_are_read_as_the_list_has_them(tmp_path: Path) -> None:
    """The image behind a run that cut runs is read by another: every run has its checksum."""
    sums = 'layout = "per_extent"\nextent_blocks = 4\noverwrite = "split"'
    run = played(text_of(sums), tmp_path)
    inode = check(run, tmp_path).lookup("/f")
    config = run.cell.config
    plan, _ = tags_of(Image.open(tmp_path / "after"), config.checksums, config.encryption, 0)
    runs = len(decode(inode, plan)[0])
    assert runs > len(list(runs_of(inode, 4)))
    jobs = 'job = [{ name = "r", filename = "f", rw = "read", bs = "16k", size = "128k" }]'
    text = text_of(sums.replace('\noverwrite = "split"', ""), jobs=jobs)
    (cell,) = load_experiment(experiment_of(text, tmp_path / "after", tmp_path)).cells
    found = run_cell(cell, tmp_path / "after", trace=False).metrics
    assert "reads_eio" not in found
    assert runs == found["checksums_verified"]


def test_clones_that_are_written_have_checksums(tmp_path: Path) -> None:
    """What is copied on write lies elsewhere and has its checksum there; the other file keeps its own."""
    jobs = """
    job = [{ name = "w", filename = "h", rw = "randrw", bs = "4k", size = "64k", io_size = "64k", fsync = 3 }]
    """
    text = text_of('layout = "table_data"', jobs=jobs).replace(
        '{ name = "h", size = "10KiB" }', '{ name = "h", clone_of = "g" }'
    )
    run = played(text, tmp_path)
    check(run, tmp_path)
    assert int(run.result.metrics["cow_blocks"]) >= 4
    assert "reads_eio" not in run.result.metrics


def test_zeros_get_checksums_too(tmp_path: Path) -> None:
    """A small unwritten extent is written with zeros round a block: the table has them."""
    layout = '{ kind = "unwritten" }'
    jobs = 'job = [{ name = "z", filename = "f", rw = "randwrite", bs = "4k", size = "32k", io_size = "4k", end_fsync = 1 }]'  # noqa: E501
    text = text_of('layout = "table_data"', 4, MOUNTS["dioread_lock"], layout, jobs)
    run = played(text.replace('"128KiB"', '"32KiB"'), tmp_path)
    extents = check(run, tmp_path).lookup("/f").tree.extents
    written = sum(extent.length for extent in extents if not extent.unwritten)
    assert written > 1
    of_rows = int(run.result.metrics["checksum_blocks_logged"])
    assert written + of_rows == run.result.metrics["checksums_computed"]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize(
    ("sums", "values"),
    [
        ('layout = "per_extent"\nextent_blocks = 1', [6168]),
        (
            'layout = "per_extent_place"\nextent_blocks = 2\noverwrite = "split"\nalgorithm = "sha256"',
            [10292],
        ),
        ('layout = "per_extent"\nextent_blocks = 1\nalgorithm = "aes-256-gcm"', [14376]),
    ],
)
def test_a_list_in_an_inode_of_its_own_is_kept_up(
    tmp_path: Path, sums: str, values: list[int], mount: str
) -> None:
    """The value, its hash in the ea_inode and in the entry: e2fsck, our check and debugfs's reader agree."""
    run = played(text_of(sums, 4, MOUNTS[mount]).replace('"128KiB"', '"2MiB"'), tmp_path)
    assert values == [size for _, size in run.mounted.volume.lookup("/f").ea_values]
    image = check(run, tmp_path)
    assert values <= [size for _, size in image.lookup("/f").ea_values]
    before, after = (Image.open(path).lookup("/f").ea_values for path in (run.image, tmp_path / "after"))
    assert [number for number, _ in before] == [number for number, _ in after]


def test_a_list_may_lie_in_several_inodes(tmp_path: Path) -> None:
    """Of 64 KiB and of what is left: both pieces are kept up, the first one's length never changes."""
    sums = 'layout = "per_extent"\nextent_blocks = 1\nalgorithm = "blake2b"'
    jobs = JOBS.replace('size = "128k"', 'size = "8m"')
    run = played(text_of(sums, jobs=jobs).replace('"128KiB"', '"8MiB"'), tmp_path)
    assert [65536, 16436] == [size for _, size in check(run, tmp_path).lookup("/f").ea_values]


def test_a_list_beside_wrapped_keys_in_inodes_of_their_own(tmp_path: Path) -> None:
    """A file of many users: its keys' values stay as they are, the list's is written over."""
    sums = 'layout = "per_extent"\nextent_blocks = 1'
    text = text_of(sums).replace('"128KiB"', '"2MiB"')
    keys = '[encryption]\nscheme = "file-keys"\nusers = 60\npolicy = "any-of"\n'
    run = played(text + keys, tmp_path)
    image = check(run, tmp_path)
    before, after = run.mounted.volume.lookup("/f"), image.lookup("/f")
    assert len(after.ea_values) > 1
    changed = {key for key in after.xattrs if after.xattrs[key] != before.xattrs[key]}
    assert {TAGS_KEY} == changed


def test_a_list_too_long_for_a_transaction_is_refused(tmp_path: Path) -> None:
    """All of it is in one: one line says what to do."""
    sums = 'layout = "per_extent"\nextent_blocks = 1\nalgorithm = "blake2b"'
    jobs = JOBS.replace('size = "128k"', 'size = "8m"')
    text = text_of(sums, 1, jobs=jobs).replace('"128KiB"', '"8MiB"')
    with pytest.raises(ConfigError, match="the list of /f takes 324 blocks, a transaction has 256"):
        played(text, tmp_path)


def test_a_checksum_that_is_left_out_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a checksum is not kept up, the run ends with the file and the block."""
    monkeypatch.setattr(
        WrittenTags, "_stored", lambda _self, _inode, _lblk, _place, blocks: bytes(blocks << 12)
    )
    with pytest.raises(InvariantError, match=r"/[fg]: block \d+: the checksum is of something else"):
        played(text_of('layout = "table_data"'), tmp_path)
