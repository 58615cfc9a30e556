"""Files under their own keys that jobs write: tags, counters and ciphertext on the disk behind the run."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import test_written_tags as kit
from crash_cells import CRASH, Played, cell_of, cell_text, played
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.macs import Aead
from sim.errors import ConfigError
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.read.reader import Image
from sim.integrity.tables import geometry
from sim.machine.checksums import volume_tags
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image
from sim.volume.keyed_image import wrapped_keys
from sim.volume.protected_image import tags_of
from sim.volume.scheme_image import key_ring, openers

MAC = 'layout = "table_data"\nalgorithm = "hmac-sha256"\nkey = "file"'
FIRST = 'layout = "table_data"\norder = "checksum-then-encrypt"'
AEAD = 'layout = "table_all"\norder = "aead"'
LIST = 'layout = "per_extent"\nextent_blocks = 8\n'
WAYS = [
    MAC,
    FIRST,
    AEAD,
    f'{LIST}algorithm = "aes-256-gcm"\nkey = "file"\noverwrite = "split"',
    f'{LIST}order = "checksum-then-encrypt"',
    f'{LIST}order = "checksum-then-encrypt"\noverwrite = "split"',
]
FILE_KEYS = '\n[encryption]\nscheme = "file-keys"\n'


def text_of(sums: str, kib: int = 4, mount: str = "", layout: str = "contiguous", **said: str) -> str:
    """Return an experiment of one cell, whose files have keys."""
    return kit.text_of(sums, kib, kit.MOUNTS.get(mount, ""), kit.LAYOUTS[layout], **said) + FILE_KEYS


def calls_of(run: Played) -> Counter[str]:
    """Return how often each symbol was called."""
    found: Counter[str] = Counter()
    for row in run.result.calls:
        found[row.symbol] += row.calls
    return found


@pytest.mark.parametrize("kib", [1, 4])
@pytest.mark.parametrize("mount", ["ordered", "journal", "commits"])
@pytest.mark.parametrize("sums", WAYS)
def test_each_tag_is_of_what_lies_there(tmp_path: Path, sums: str, mount: str, kib: int) -> None:
    """e2fsck replays the log; each tag is right under its file's key, and each file has what was written."""
    kit.check(played(text_of(sums, kib, mount), tmp_path), tmp_path)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw jobs that share files, files with holes and unwritten extents, and an order."""
    sums = draw(st.sampled_from([MAC, FIRST, AEAD]))
    jobs = []
    for number in range(draw(st.integers(1, 3))):
        bs = draw(st.sampled_from(['bs = "4k"', 'bs = "1k"', 'bsrange = "512-12k", blockalign = "512"']))
        rw = draw(st.sampled_from(["randwrite", "randrw"]))
        sync = draw(st.sampled_from(["fsync = 1", "fsync = 3", "fdatasync = 2", "end_fsync = 1"]))
        jobs.append(
            f'{{ name = "j{number}", filename = "{draw(st.sampled_from("fg"))}", rw = "{rw}", {bs},'
            f' size = "64k", io_size = "{draw(st.integers(1, 6)) * 8}k", {sync}, randrepeat = 0 }}'
        )
    kib, mount = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from(list(kit.MOUNTS)))
    return text_of(
        sums, kib, mount, draw(st.sampled_from(list(kit.LAYOUTS))), jobs=f"job = [{', '.join(jobs)}]"
    )


@settings(max_examples=15)
@given(texts())
def test_whatever_is_written(text: str) -> None:
    """Random reads and writes: no read is refused, and every tag is right in the end."""
    with TemporaryDirectory() as folder:
        run = played(text, Path(folder))
        kit.check(run, Path(folder))
        assert 0 == run.result.metrics.get("reads_eio", 0)


def opened(run: Played, image: Image, path: str) -> bytes:
    """Return a file of an image, opened by the library alone; InvalidTag for what is not what was sealed."""
    config, inode = run.cell.config, image.lookup(path)
    plan, _ = tags_of(image, config.checksums, config.encryption, 0)
    key = key_ring(config.encryption, 0).unwrap(wrapped_keys(inode), openers(config.encryption), "t").raw
    shape, gcm, size = geometry(image, plan), AESGCM(key[:32]), image.block_size
    plain = bytearray(inode.blocks * size)
    for extent in inode.tree.extents:
        for index in range(0 if extent.unwritten else extent.length):
            block, to = extent.physical + index, (extent.logical + index) * size
            row, at = shape.entry_of(block) or (-1, -1)
            tag = bytes(image.read_block(shape.own[row]))[at * 20 : at * 20 + 20]
            nonce, place = tag[:4] + struct.pack("<Q", block), b"T" + image.uuid + struct.pack("<Q", block)
            plain[to : to + size] = gcm.decrypt(nonce, bytes(image.read_block(block)) + tag[4:], place)
    return bytes(plain[: inode.size_bytes])


@pytest.mark.parametrize("layout", ["contiguous", "sparse", "unwritten"])
@pytest.mark.parametrize("kib", [1, 4])
def test_sealed_blocks_open_to_what_was_written(tmp_path: Path, kib: int, layout: str) -> None:
    """AES-256-GCM of another library, with keys, nonces and places put together here: all of each file."""
    run = played(text_of(AEAD, kib, layout=layout), tmp_path)
    image = kit.check(run, tmp_path)
    for path, (_, inode) in run.mounted.files.items():
        assert inode.bytes is not None
        assert inode.bytes.expected == opened(run, image, path)


def test_no_nonce_comes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that is written again and again is sealed under another nonce each time, higher by one."""
    used: list[tuple[int, int]] = []

    class Spy(Aead):
        def seal(self, nonce: bytes, data: bytes, context: bytes) -> tuple[bytes, bytes]:
            counter, block = struct.unpack("<IQ", nonce)
            used.append((block, counter))
            return super().seal(nonce, data, context)

    monkeypatch.setattr("sim.integrity.tagger.Aead", Spy)
    cell, _ = cell_of(text_of(AEAD), tmp_path)
    path = ensure_image(cell, tmp_path)  # made under these eyes
    made, used[:] = dict(used), []
    assert {1} == set(made.values())
    run_cell(cell, path, trace=False)
    counters = {block: [counter for at, counter in used if at == block] for block, _ in used}
    assert 3 <= max(len(each) for each in counters.values())
    assert all(each == list(range(2, 2 + len(each))) for each in counters.values())


def test_a_block_is_sealed_again_before_its_tag_is_stored(tmp_path: Path) -> None:
    """
    Who reads it then opens what was submitted last, and no other; once its tag is in the table the same; and
    the counter goes up each time.
    """
    cell, path = cell_of(text_of(AEAD), tmp_path)
    volume = Image.open(path)
    tags = volume_tags(cell.config, volume)
    assert tags is not None
    on_disk = volume.lookup("/g")
    inode: Any = SimpleNamespace(
        journalled=False, number=on_disk.number, tree=SimpleNamespace(covering=on_disk.tree.find)
    )
    written, contents = tags.written(OverlayStore(volume.store)), tags.sealed_now(inode)
    judge, first = tags.of_made("/g", on_disk.number).judge, on_disk.tree.extents[0].physical
    assert contents is not None
    assert judge is not None
    sealed = [contents.encrypt_blocks(bytes([number]) * 4096, 0) for number in (1, 1, 2)]
    assert 3 == len(set(sealed))
    for stored in (False, True):
        assert [[None], [None], [b"\2" * 4096]] == [judge.opened(0, first, 1, one) for one in sealed]
        if not stored:
            written.submitted(first, sealed[2])
            written.pieces_written(inode, [(0, first, 1)])
    row = tags.of_made("/g", on_disk.number).tag_blocks(first, 1)[0]
    raw, plan = written.block(row), tags_of(volume, cell.config.checksums, cell.config.encryption, 0)[0]
    _, at = geometry(volume, plan).entry_of(first) or (-1, -1)
    assert raw is not None
    assert 4 == int.from_bytes(raw[at * 20 : at * 20 + 4], "little")
    contents.encrypt_blocks(bytes(4096), 0)
    assert [None] == judge.opened(0, first, 1, sealed[2])


def test_tags_are_made_where_pages_are_encrypted(tmp_path: Path) -> None:
    """Of a table: GCM alone in the bounce page; a checksum and its seal there; of ciphertext, later."""
    done = {sums: played(text_of(sums, mount="ordered"), tmp_path) for sums in (MAC, FIRST, AEAD)}
    calls = {sums: calls_of(run) for sums, run in done.items()}
    blocks, computed = calls[MAC]["xts_encrypt"], int(done[MAC].result.metrics["checksums_computed"])
    data = calls[FIRST]["xts_encrypt"] - blocks
    rows = computed - data
    assert {computed} == {run.result.metrics["checksums_computed"] for run in done.values()}
    assert (blocks, 0) == (calls[AEAD]["gcm_encrypt"], calls[AEAD]["xts_encrypt"])
    assert {computed} == {calls[FIRST]["crc32c_pcl_intel_digest"], calls[MAC]["hmac_finup"]}
    assert rows == calls[AEAD]["ghash_update"]
    for sums, symbol, inside in (
        (MAC, "hmac_finup", 0),
        (FIRST, "crc32c_pcl_intel_digest", data),
        (AEAD, "gcm_encrypt", blocks),
    ):
        there = [row for row in done[sums].result.calls if row.symbol == symbol]
        assert inside == sum(row.calls for row in there if "ext4_bio_write_page" in row.stack)


def test_a_list_of_plaintext_is_sealed_when_it_is_computed(tmp_path: Path) -> None:
    """A run has many pages: each of its checksums, but the list's own, is encrypted behind the round."""
    run = played(text_of(WAYS[4]), tmp_path)
    plain = played(text_of(f'{LIST}algorithm = "crc32c"'), tmp_path)
    seals = calls_of(run)["xts_encrypt"] - calls_of(plain)["xts_encrypt"]
    lists = sum(
        row.calls
        for row in run.result.calls
        if row.symbol == "ext4_data_csum_set" and "ext4_data_csum_update" in row.stack
    )
    assert 0 < seals < int(run.result.metrics["checksums_computed"]) == lists


@pytest.mark.parametrize("sums", WAYS[:3])
def test_counts_are_those_without_bytes(tmp_path: Path, sums: str) -> None:
    """data = "real" moves neither a count nor a time."""
    found = []
    for data in ("real", "off"):
        cell, image = cell_of(text_of(sums).replace('data = "real"', f'data = "{data}"', 1), tmp_path)
        metrics = dict(run_cell(cell, image, trace=False).metrics)
        found.append({name: metrics[name] for name in metrics if name != "digest_ok"})
    assert found[1] == found[0]


@pytest.mark.parametrize("sums", WAYS[:3])
def test_what_is_written_is_read_back_with_its_tags(tmp_path: Path, sums: str) -> None:
    """A job that reads and writes in little memory: what comes back from the disk is right."""
    jobs = 'job = [{ name = "m", filename = "f", rw = "randrw", bs = "4k", size = "1m", io_size = "2m", fsync = 16, randrepeat = 0 }]\n'  # noqa: E501
    text = text_of(sums, jobs=jobs).replace('"128KiB"', '"1MiB"')
    more = '[machine]\nmemory = "512KiB"\n'
    run = played(text.replace('"sata-ssd"', '"sata-ssd"\nread_ahead_kb = 16') + more, tmp_path)
    kit.check(run, tmp_path)
    assert int(run.result.metrics["checksums_verified"]) > 64
    assert "reads_eio" not in run.result.metrics


@pytest.mark.parametrize("scheme", ["fscrypt-v2", "file-keys", "rfc2014"])
def test_ciphertext_has_the_volumes_tags_under_any_scheme(tmp_path: Path, scheme: str) -> None:
    """Encrypt, then checksum: of what was submitted, whatever has encrypted it."""
    for sums in ('layout = "table_data"', f'{LIST}algorithm = "aes-cmac"'):
        kit.check(played(text_of(sums).replace('"file-keys"', f'"{scheme}"'), tmp_path), tmp_path)


def test_a_power_cut_refuses_what_has_not_its_tag(tmp_path: Path) -> None:
    """Blocks that have what they may and not their tag: as many in either order, whoever's the key."""
    found = []
    for sums in ('layout = "table_data"\nalgorithm = "hmac-sha256"', MAC, FIRST):
        text = cell_text(crash=CRASH, more=f"[checksums]\n{sums}{FILE_KEYS}")
        metrics = played(text, tmp_path, judged=True).result.metrics
        names = ("crash_states", "crash_false_alarms", "crash_false_alarm_blocks", "crash_lost_bytes")
        found.append([int(metrics[name]) for name in names])
    assert found[0] == found[1] == found[2]
    states, alarms, blocks, lost = found[0]
    assert 0 < alarms <= states
    assert (0, True) == (lost, blocks > 0)


@pytest.mark.parametrize(
    ("sums", "crash", "problem"),
    [
        (
            f'{LIST.replace("8", "1")}order = "aead"',
            "",
            "with jobs that write and order 'aead'; allowed: a table",
        ),
        (AEAD, CRASH, "order 'aead' with crash: a block without its own tag cannot be decrypted"),
    ],
)
def test_what_is_left_out_is_told(tmp_path: Path, sums: str, crash: str, problem: str) -> None:
    """One line for what is not modelled."""
    with pytest.raises(ConfigError, match=problem):
        cell_of(cell_text(crash=crash, more=f"[checksums]\n{sums}{FILE_KEYS}"), tmp_path)
