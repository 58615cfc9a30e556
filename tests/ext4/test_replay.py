"""Replaying a log: against a plain model, against e2fsck and debugfs, byte by byte."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import FORMS, Log, damage, needs_recovery
from tools import debugfs, e2fsck, tool

from sim.errors import ImageError
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.replay import replay_journal
from sim.ext4.format.journal import Journal
from sim.ext4.format.journal_blocks import COMMIT, MAGIC, REVOKE, Written
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.read.replay import read_log
from sim.ext4.store import MemoryStore
from sim.units import MIB

SIZE = 1024
LOG_BLOCKS = 1024
RING = LOG_BLOCKS - 1
STAMPED = [range(0x30, 0x34), range(0x178, 0x180), range(0x3FC, 0x400)]
"""What e2fsck sets in a superblock: the time of writing, kilobytes written, hence the checksum."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    """An image with a journal of 1,024 blocks, unmounted; its last blocks are free."""
    path = tmp_path_factory.mktemp("replay") / "base.img"
    spec = ImageSpec((FileSpec("/f", 9_000),), SIZE, size_bytes=4 * MIB, journal_blocks=LOG_BLOCKS)
    make_image(path, spec)
    return MemoryStore(path.read_bytes())


FREE = range(3900, 3950)
"""Blocks of the image that nothing lies in."""


def block(number: int, like_the_log: bool = False) -> bytes:
    """Return a block by its number; one in two kinds begins like a block of the log."""
    head = struct.pack(">2I", MAGIC, COMMIT) if like_the_log else b""
    return (head + bytes([number % 256]) * SIZE)[:SIZE]


# -- against a plain model -------------------------------------------------------------------------------

written = st.lists(
    st.builds(
        lambda target, number, like: (target, block(number, like)),
        st.sampled_from(FREE),
        st.integers(0, 255),
        st.booleans(),
    ),
    max_size=130,  # two descriptors of the smallest tags
)
transactions = st.lists(st.tuples(written, st.lists(st.sampled_from(FREE), max_size=4)), max_size=5)


def plain(whole: list[tuple[list[Written], list[int]]]) -> dict[int, bytes]:
    """Return what each block holds once these transactions are in place."""
    found: dict[int, bytes] = {}
    for number, (blocks, _) in enumerate(whole):
        gone = {target for _, revoked in whole[number:] for target in revoked}
        found |= {target: data for target, data in blocks if target not in gone}
    return found


@given(
    transactions,
    st.sampled_from(sorted(FORMS)),
    st.integers(1, RING),
    st.sampled_from([1, 77, (1 << 32) - 2, (1 << 31) - 1]),
    st.integers(0, 400),
    st.booleans(),
)
def test_what_was_committed_before_a_power_cut_comes_back(
    base: MemoryStore,
    some: list[tuple[list[Written], list[int]]],
    form: str,
    head: int,
    sequence: int,
    after: int,
    older: bool,
) -> None:
    """
    Any transactions, from any block and sequence, cut at any block: the whole ones count, the last one not.

    older: the log was full of transactions of an earlier round.
    """
    log = Log.on(base, form, head, (sequence - 3) % (1 << 32) if older else sequence)
    if older:
        for _ in range(3):
            log.commit([(FREE[0], block(9))] * 110, time_s=5)
            log.journal.checkpointed()
        log.power_cut()
        log.written.clear()
        log.journal.head = head
    whole: list[tuple[list[Written], list[int]]] = []
    for blocks, revoked in some:
        log.commit(blocks, revoked, time_s=10)
        if len(log.written) <= after:
            whole.append((blocks, revoked))
    log.power_cut(after)
    found = replay_journal(log.store)
    assert plain(whole) == found.blocks()
    assert ("", "") == (found.aborted, found.damaged)
    assert (sequence + len(whole)) % (1 << 32) == (found.end if some else sequence)
    image = Image(log.store)
    for target in FREE:
        expected = plain(whole).get(target, base.read(target * SIZE, SIZE))
        assert expected == image.read_block(target)
    again = Journal.of(image)
    assert not again.tail
    assert not read_log(image).writes, "the log is empty now"


# -- against e2fsck --------------------------------------------------------------------------------------


def e2fsck_replays(path: Path, image: bytes) -> bytes:
    """Return the image as `e2fsck -y -E journal_only` leaves it."""
    path.write_bytes(image)
    words = [tool("e2fsck"), "-y", "-E", "journal_only", str(path)]
    done = subprocess.run(words, capture_output=True, check=False, timeout=60)
    assert b"recovering journal" in done.stdout + done.stderr
    return path.read_bytes()


def differing(ours: bytes, theirs: bytes) -> list[int]:
    """Return the bytes at which two images differ, but for what e2fsck stamps."""
    stamped = {1024 + at for places in STAMPED for at in places}
    return [
        at
        for first in range(0, len(ours), SIZE)
        if ours[first : first + SIZE] != theirs[first : first + SIZE]
        for at in range(first, first + SIZE)
        if ours[at] != theirs[at] and at not in stamped
    ]


def three_transactions(base: MemoryStore, form: str) -> Log:
    """Return a log that goes round its end, with two descriptors, escaped blocks and revocations."""
    log = Log.on(base, form, head=RING - 60, sequence=41)
    log.commit([(FREE[n % 40], block(n, n % 3 == 0)) for n in range(130)], time_s=100)
    log.commit([(FREE[5], block(201)), (FREE[6], block(202))], [FREE[0], FREE[6], *range(5000, 5300)], 101)
    log.commit([(FREE[0], block(203, True))], [FREE[1]], 102)
    return log


SPOILT = [
    (form, what)
    for form in ("v1", "v1-async", "v2-64bit", "v3-async")
    for what in ("descriptor", "logged", "revocation", "its length", "first commit", "last commit")
]
OTHERS = [("plain", "its length"), ("v3", "cut"), ("plain", "noted error"), ("v3", "noted error")]


@pytest.mark.parametrize(
    ("form", "what"),
    [*((form, what) for form in FORMS for what in ("whole", "before the commit")), *SPOILT, *OTHERS],
)
def test_e2fsck_leaves_the_same_image(base: MemoryStore, tmp_path: Path, form: str, what: str) -> None:
    """Every form of a log, whole, cut short, or with a wrong byte in some block; every byte is the same."""
    log = three_transactions(base, form)
    if what == "noted error":
        kept = log.journal._superblock
        raw = kept.raw[:0x20] + struct.pack(">i", -5) + kept.raw[0x24:]
        log.journal._superblock = type(kept)(
            kept.format, kept.blocks, kept.first, kept.sequence, kept.start, raw
        )
    log.power_cut({"cut": 70, "before the commit": len(log.written) - 1}.get(what))
    if (form, what) in SPOILT or what == "its length":
        damage(log, what)
    before = log.bytes()
    theirs = e2fsck_replays(tmp_path / "a.img", before)
    found = replay_journal(log.store)
    ours = log.bytes()
    assert [] == differing(ours, theirs)
    assert ours != before
    if what in ("whole", "cut", "before the commit"):
        assert {"whole": 44, "cut": 41, "before the commit": 43}[what] == found.end
        (tmp_path / "b.img").write_bytes(ours)
        e2fsck(tmp_path / "b.img")


def test_what_a_wrong_checksum_does(base: MemoryStore) -> None:
    """A commit's ends the log; a block's leaves that block out, and the file system is not valid."""
    aborted = three_transactions(base, "v3")
    aborted.power_cut()
    damage(aborted, "first commit")
    found = replay_journal(aborted.store)
    assert ("the checksum of transaction 41 is wrong", "") == (found.aborted, found.damaged)
    assert not found.writes
    assert 3 == Image(aborted.store).superblock.state, "valid, with errors"
    spoilt = three_transactions(base, "v3")
    spoilt.power_cut()
    damage(spoilt, "logged")
    found = replay_journal(spoilt.store)
    assert ("", f"the checksum of block {FREE[2]} in transaction 41 is wrong") == (
        found.aborted,
        found.damaged,
    )
    assert 0 == Image(spoilt.store).superblock.state
    assert 44 == found.end


@pytest.mark.parametrize(
    ("form", "sequence", "aborted"), [("v1-async", 5, 5), ("v1-async", 0, None), ("v1", 0, None)]
)
def test_transaction_0_is_not_told_from_none(
    base: MemoryStore, tmp_path: Path, form: str, sequence: int, aborted: int | None
) -> None:
    """Its number means that no wrong checksum was found, so nothing is noted."""
    log = Log.on(base, form, sequence=sequence)
    log.commit([(FREE[0], block(1))])
    log.commit([(FREE[1], block(2))])
    log.power_cut()
    log.store.write(log.written[1][0] * SIZE + 9, b"x")
    theirs = e2fsck_replays(tmp_path / "a.img", log.bytes())
    found = replay_journal(log.store)
    assert ("" if aborted is None else f"the checksum of transaction {aborted} is wrong") == found.aborted
    assert [] == differing(log.bytes(), theirs)


@pytest.mark.parametrize(("time_s", "is_damaged"), [(99, False), (100, True)])
def test_what_another_life_of_the_log_left_is_told_by_its_time(
    base: MemoryStore, tmp_path: Path, time_s: int, is_damaged: bool
) -> None:
    """A transaction of the next sequence with the checksums of another UUID: older is no damage."""
    log = Log.on(base, "v3", sequence=5)
    log.commit([(FREE[0], block(1))], time_s=100)
    log.journal.format = replace(log.journal.format, uuid=bytes(16))
    log.commit([(FREE[0], block(2))], time_s=time_s)
    log.power_cut()
    theirs = e2fsck_replays(tmp_path / "a.img", log.bytes())
    found = replay_journal(log.store)
    assert is_damaged == bool(found.damaged)
    assert ({} if is_damaged else {FREE[0]: block(1)}) == found.blocks()
    assert [] == differing(log.bytes(), theirs)


def test_a_commit_without_a_checksum_counts_in_version_1(base: MemoryStore, tmp_path: Path) -> None:
    """Whoever does not know the feature may have written it: it is compatible."""
    log = Log.on(base, "v1")
    log.commit([(FREE[0], block(1))])
    log.power_cut()
    log.store.write(log.written[-1][0] * SIZE + 0x0C, bytes(8))
    theirs = e2fsck_replays(tmp_path / "a.img", log.bytes())
    assert {FREE[0]: block(1)} == replay_journal(log.store).blocks()
    assert [] == differing(log.bytes(), theirs)


def test_an_asynchronous_commit_without_its_blocks_does_not_count(base: MemoryStore) -> None:
    """The record is there, a logged block is not: version 1 sums them all, and nothing is reported."""
    log = Log.on(base, "v1-async", sequence=5)
    log.commit([(FREE[0], block(1))], time_s=1)
    log.commit([(FREE[0], block(2))], time_s=2)
    missing = log.written.pop(-2)
    log.power_cut()
    assert block(2) == missing[1]
    found = replay_journal(log.store)
    assert {FREE[0]: block(1)} == found.blocks()
    assert (6, "", "") == (found.end, found.aborted, found.damaged)


# -- against debugfs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("checksums", ["", "-c 2", "-c 3"])
@pytest.mark.parametrize(
    ("block_size", "features"), [(1024, "metadata_csum,64bit"), (4096, "^metadata_csum,^64bit")]
)
def test_a_log_that_debugfs_wrote_is_replayed_as_debugfs_does(
    tmp_path: Path, checksums: str, block_size: int, features: str
) -> None:
    """jw writes blocks and revocations, with checksums of version 3 where the file system has any."""
    path, data = tmp_path / "a.img", tmp_path / "data"
    path.touch()
    words = [tool("mke2fs"), "-q", "-F", "-t", "ext4", "-b", str(block_size), "-O", features]
    subprocess.run([*words, str(path), "12M"], check=True, capture_output=True)
    data.write_bytes(
        b"\xc0\x3b\x39\x98".ljust(block_size, b"m") + bytes(range(256)) * (block_size * 4 // 256)
    )
    debugfs(
        path,
        f"jo {checksums}",
        f"jw -b 2900,2905-2908 {data}",
        f"jw -b 2906 -r 2900 {data}" if not checksums.startswith("-c 2") else f"jw -b 2906 {data}",
        f"jw -b 2907 {data}",
        "jc",
        write=True,
    )
    before = path.read_bytes()
    store = OverlayStore(MemoryStore(before))
    found = replay_journal(store)
    assert ("", "") == (found.aborted, found.damaged)
    assert {2905, 2906, 2907, 2908} <= set(found.blocks())
    debugfs(path, "jr", write=True)
    theirs = path.read_bytes()
    for target in range(2900, 2910):
        at = target * block_size
        assert theirs[at : at + block_size] == store.read(at, block_size)
    assert [] == differing(bytes(store.read(0, store.size_bytes)), e2fsck_replays(path, before))


@pytest.mark.parametrize("form", sorted(FORMS))
def test_debugfs_tells_our_log(base: MemoryStore, tmp_path: Path, form: str) -> None:
    """`logdump -a` finds each descriptor, revocation, block and commit where we wrote it."""
    log = three_transactions(base, form)
    log.power_cut()
    path = tmp_path / "a.img"
    path.write_bytes(log.bytes())
    said = debugfs(path, "logdump -a").decode()
    places = {block: at for at, block in enumerate(log.journal.blocks)}
    for target, data in log.written:
        magic, kind, sequence = struct.unpack_from(">3I", data)
        if magic == MAGIC and sequence in (41, 42, 43):
            name = {1: "descriptor block", 2: "commit block", 5: "revoke table"}[kind]
            line = f"Found expected sequence {sequence}, type {kind} ({name}) at block {places[target]}"
            assert line in said
    assert f"FS block {FREE[5]} logged at journal block" in said
    assert f"Revoke FS block {FREE[6]}" in said


# -- what is refused ------------------------------------------------------------------------------------


def test_a_block_that_does_not_exist_is_refused(base: MemoryStore) -> None:
    """In a log without checksums a descriptor can say anything; the image stays as it was."""
    log = Log.on(base, "plain")
    log.commit([(FREE[0], block(1)), (4096, block(2))])
    log.power_cut()
    before = log.bytes()
    with pytest.raises(ImageError, match="journal: points at block 4096; allowed: 1 to 4095"):
        replay_journal(log.store)
    assert before == log.bytes()


def test_a_log_that_is_empty_is_only_noted(base: MemoryStore) -> None:
    """The image needed recovery and there was nothing to recover."""
    store = OverlayStore(base)
    needs_recovery(store)
    assert not replay_journal(store).writes
    assert Image(store).lookup("/f").size_bytes == 9_000


def test_a_transaction_never_overwrites_what_is_still_needed(base: MemoryStore) -> None:
    """The log is full until what it holds is in place."""
    log = Log.on(base, "v3", head=500)
    for _ in range(8):
        log.commit([(FREE[0], block(1))] * 120)
    assert RING - 8 * 123 == log.journal.free_blocks
    with pytest.raises(
        ImageError, match="38 blocks in a transaction are 40 of the log; allowed: 39 that are free"
    ):
        log.commit([(FREE[0], block(1))] * 38)
    log.journal.checkpointed_before(3, 500 + 2 * 123)
    log.commit([(FREE[0], block(1))] * 38)
    log.power_cut()
    assert 3 == replay_journal(log.store).first


@given(st.data(), st.sampled_from(sorted(FORMS)))
def test_nothing_in_a_log_is_more_than_an_error(base: MemoryStore, data: st.DataObject, form: str) -> None:
    """Any bytes in blocks that begin as the log's do: the replay ends, with an ImageError at most."""
    log = Log.on(base, form, head=RING - 3, sequence=1)
    kinds = st.sampled_from([1, COMMIT, REVOKE])
    for place in [*log.journal.blocks[RING - 3 :], *log.journal.blocks[1:4]]:
        head = struct.pack(">3I", MAGIC, data.draw(kinds), data.draw(st.integers(1, 2)))
        log.store.write(place * SIZE, head + data.draw(st.binary(max_size=80)).ljust(SIZE - len(head), b"\0"))
    log.journal.tail = RING - 3
    log.power_cut()
    before = log.bytes()
    try:
        replay_journal(log.store)
    except ImageError:
        assert before == log.bytes()


def test_a_log_without_an_end_is_damaged(base: MemoryStore) -> None:
    """Every block revokes nothing, in the same transaction: it would go round for ever."""
    log = Log.on(base, "plain")
    [raw] = log.journal.format.revocations(1, [1])
    for place in log.journal.blocks[1:]:
        log.store.write(place * SIZE, raw)
    log.journal.tail = 1
    log.power_cut()
    assert "a transaction has more than the 1023 blocks of the log" == replay_journal(log.store).damaged
