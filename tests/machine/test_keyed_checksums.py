"""Tags under files' own keys in cells: MACs of ciphertext, encrypted checksums of plaintext, AES-256-GCM."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections import Counter
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from shared_images import shared_image
from test_checksum_cells import cell_of, checked_image, flipped, ran, told

from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.ext4.read.reader import Image, Inode
from sim.integrity.tables import geometry
from sim.machine.run_cell import played_cell
from sim.volume.images import plaintext_digests
from sim.volume.keyed_image import wrapped_keys
from sim.volume.protected_image import tags_of
from sim.volume.scheme_image import key_ring, openers

MAC = 'algorithm = "hmac-sha256"\nkey = "file"'
FIRST = 'order = "checksum-then-encrypt"'
AEAD = 'order = "aead"'
TABLES = [f'layout = "table_data"\n{way}' for way in (MAC, FIRST, AEAD)]
WAYS = [
    *TABLES,
    f'layout = "per_extent"\n{MAC}',
    f'layout = "per_extent"\nextent_blocks = 4\n{FIRST}\nalgorithm = "xxh64"',
    f'layout = "per_extent_place"\n{FIRST}',
    f'layout = "per_extent"\nextent_blocks = 1\n{AEAD}',
    'layout = "table_all"\nalgorithm = "aes-256-gcm"\nkey = "file"',
]
KEYED = {"scheme": "file-keys"}


def calls_of(result: CellResult) -> Counter[str]:
    """Return how often each symbol was called."""
    found: Counter[str] = Counter()
    for row in result.calls:
        found[row.symbol] += row.calls
    return found


@pytest.mark.parametrize("path", ["page_io", "buffer_head", "iomap"])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("sums", WAYS)
def test_what_is_read_is_the_plaintext(tmp_path: Path, sums: str, size: int, path: str) -> None:
    """Page by page and block by block: all of it comes decrypted, verified, and none of it twice."""
    result = ran(tmp_path, sums, path=path, size=size, rw="randread" if size == 1 else "read", **KEYED)
    assert 1 == result.metrics["digest_ok"]
    assert 512 * 1024 <= int(result.metrics["checksum_bytes_hashed"]) < 600 * 1024
    ciphers, blocks = calls_of(result), 512 // size
    rows = int(result.metrics["checksum_bytes_read"]) // (size * 1024) if "table" in sums else 1
    tags = int(result.metrics["checksums_verified"]) - rows  # checksums of checksums are not sealed
    wanted = (blocks, 0) if AEAD in sums else (0, blocks + tags * (FIRST in sums))
    assert wanted == (ciphers["gcm_decrypt"], ciphers["xts_decrypt"])


def key_of(cell: Cell, inode: Inode) -> bytes:
    """Return a file's own key, unwrapped."""
    said = cell.config.encryption
    return key_ring(said, 0).unwrap(wrapped_keys(inode), openers(said), "t").raw


@pytest.mark.parametrize("sums", TABLES)
def test_tags_are_what_their_definition_says(tmp_path: Path, sums: str) -> None:
    """
    Of one block on the made image, by the libraries alone: HMAC of ciphertext under HKDF of the file's key;
    GCM under the key itself, which opens to the plaintext; and a checksum that is not to be read in clear.
    """
    cell, path = cell_of(tmp_path, sums, **KEYED)
    image = Image.open(path)
    inode = image.lookup("/data")
    plan, _ = tags_of(image, cell.config.checksums, cell.config.encryption, 0)
    extent = inode.tree.extents[2]
    stored = bytes(image.read_block(extent.physical))
    shape = geometry(image, plan)
    row, at = shape.entry_of(extent.physical) or (-1, -1)
    tag = bytes(image.read_block(shape.own[row]))[at * plan.tag_bytes : (at + 1) * plan.tag_bytes]
    place = b"T" + image.uuid + struct.pack("<Q", extent.physical)
    key = key_of(cell, inode)
    if MAC in sums:
        derived = HKDF(SHA512(), 32, None, b"readpath integrity mac\0").derive(key)
        assert hmac.digest(derived, place + stored, "sha256")[:16] == tag
    elif AEAD in sums:
        nonce = struct.pack("<IQ", 1, extent.physical)
        assert struct.pack("<I", 1) == tag[:4]
        plain = bytearray(512 * 1024)
        gcm = AESGCM(key[:32])
        for found in inode.tree.extents:
            for index in range(found.length):
                block = found.physical + index
                row, at = shape.entry_of(block) or (-1, -1)
                one = bytes(image.read_block(shape.own[row]))[at * 20 : at * 20 + 20]
                there = b"T" + image.uuid + struct.pack("<Q", block)
                nonce = one[:4] + struct.pack("<Q", block)
                to = (found.logical + index) * 4096
                plain[to : to + 4096] = gcm.decrypt(nonce, bytes(image.read_block(block)) + one[4:], there)
        assert plaintext_digests(cell, path)["/data"] == hashlib.sha256(plain).hexdigest()
    else:
        assert 16 == len(tag)
        assert tag[4:] != bytes(12)  # a crc32c in clear would have zeros behind it


@pytest.mark.parametrize("path", ["page_io", "buffer_head"])
@pytest.mark.parametrize("sums", WAYS)
def test_a_flipped_bit_is_eio_where_the_check_finds_it(tmp_path: Path, sums: str, path: str) -> None:
    """One bit of one block changed: EIO for what `image check --data` tells of, the rest is read."""
    cell, image = cell_of(tmp_path, sums, rw='randread", continue_on_error = "read', path=path, **KEYED)
    extent = Image.open(image).lookup("/data").tree.extents[3]
    wrong = flipped(tmp_path, image, (extent.physical + 3) * 4096 + 100)
    checked = checked_image(cell, wrong)
    assert checked is not None
    (bad,) = checked.bad
    assert "/data" == bad.path
    assert (128 - bad.blocks, bad.blocks, 0, 0, -1) == told(cell, wrong)


@pytest.mark.parametrize("sums", TABLES)
def test_a_flipped_bit_in_the_table_is_found(tmp_path: Path, sums: str) -> None:
    """A row is under the volume's key, or nobody's: EIO for all that have their tags there."""
    cell, path = cell_of(tmp_path, sums, rw='read", continue_on_error = "read', **KEYED)
    image = Image.open(path)
    plan, _ = tags_of(image, cell.config.checksums, cell.config.encryption, 0)
    shape = geometry(image, plan)
    inode = image.lookup("/data")
    rows = [shape.entry_of(e.physical + at) for e in inode.tree.extents for at in range(e.length)]
    hit = sum(row is not None and row[0] == 0 for row in rows)
    assert 0 < hit
    assert (128 - hit, hit, 0, 0, -1) == told(cell, flipped(tmp_path, path, shape.own[0] * 4096 + 4000))


def damaged(folder: Path, sums: str, path: str, kind: str) -> dict[str, object]:
    """Return what becomes of reads of a device with faults."""
    cell_of(folder, sums, rw='read", continue_on_error = "read', path=path, **KEYED)
    text = (folder / "e.toml").read_text() + f'[faults]\nkind = "{kind}"\n'
    text += "rate = 0.05\n" if kind == "transfer_flip" else "count = 5\n"
    (folder / "e.toml").write_text(text)
    cell, image = cell_of_text(folder)
    return dict(played_cell(cell, image)[0].metrics)


def cell_of_text(folder: Path) -> tuple[Cell, Path]:
    """Return the cell of an experiment as it stands in its file, and its image."""
    (cell,) = load_experiment(folder / "e.toml").cells
    return cell, shared_image(cell)


@pytest.mark.parametrize("path", ["page_io", "buffer_head"])
@pytest.mark.parametrize("kind", ["sector_error", "transfer_flip"])
@pytest.mark.parametrize("sums", WAYS)
def test_no_fault_of_a_device_is_read_as_data(tmp_path: Path, sums: str, kind: str, path: str) -> None:
    """What cannot be read, or is not what was written, is EIO; every fault is noticed, and nothing hangs."""
    metrics = damaged(tmp_path, sums, path, kind)
    assert 0 == metrics["reads_wrong"]
    assert 128 == int(str(metrics["reads_eio"])) + int(str(metrics["reads_right"]))
    assert 0 == metrics["faults_undetected"]
    assert 1 <= int(str(metrics["faults_detected"]))


@pytest.mark.parametrize("sums", [WAYS[1], WAYS[4]])
@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_plaintext_is_verified_behind_decryption(tmp_path: Path, sums: str, kernel: str) -> None:
    """The item that decrypts queues the one that verifies; the interrupt, and no other, queues decryption."""
    cell_of(tmp_path, sums, **KEYED)
    text = (tmp_path / "e.toml").read_text() + f'[machine]\nkernel = "{kernel}"\nlarge_folios = false\n'
    (tmp_path / "e.toml").write_text(text)
    cell, image = cell_of_text(tmp_path)
    result = played_cell(cell, image)[0]
    assert 1 == result.metrics["digest_ok"]
    ends = [row for row in result.calls if row.symbol == "ext4_data_csum_end_io"]
    assert {("kworker", True)} == {(row.context, "decrypt_work" in row.stack) for row in ends}
    queued = [row for row in result.calls if row.symbol == "fscrypt_enqueue_decrypt_work"]
    assert queued
    assert "kworker" not in {row.context for row in queued}


def test_one_pass_decrypts_and_verifies(tmp_path: Path) -> None:
    """AES-256-GCM: one work item a bio where MAC and XTS have two, one cipher call a block."""
    sealed, two = ran(tmp_path, TABLES[2], **KEYED), ran(tmp_path, TABLES[0], **KEYED)
    calls, before = calls_of(sealed), calls_of(two)
    assert 0 == calls["decrypt_work"] == calls["fscrypt_decrypt_bio"]
    assert before["decrypt_work"] == before["ext4_data_csum_work"] == calls["ext4_data_csum_work"]
    assert before["fscrypt_decrypt_pagecache_blocks"] == calls["fscrypt_decrypt_pagecache_blocks"]
    assert (128, 128) == (calls["fscrypt_crypt_block"], calls["gcm_decrypt"])
    assert calls["ghash_update"] == int(sealed.metrics["checksums_verified"]) - 128


@pytest.mark.parametrize(
    ("sums", "derived"),
    [(way, 2) for way in WAYS[:2] + WAYS[3:7]]
    + [(AEAD and WAYS[2], 0), ('layout = "table_data"\nalgorithm = "hmac-sha256"', 0)],
)
def test_a_key_of_tags_is_derived_when_the_file_is_opened(tmp_path: Path, sums: str, derived: int) -> None:
    """HKDF's two steps, once a file, where opening is charged; none where the cipher makes the tags."""
    cell_of(tmp_path, sums, **KEYED)
    text = (tmp_path / "e.toml").read_text()
    (tmp_path / "e.toml").write_text(text.replace('"file-keys"', '"file-keys"\ncharge_open = true'))
    cell, image = cell_of_text(tmp_path)
    calls = calls_of(played_cell(cell, image)[0])
    assert (derived, derived // 2) == (calls["fscrypt_hkdf_expand"], calls["ext4_data_csum_setkey"])
    assert 0 == calls_of(ran(tmp_path, sums, **KEYED))["ext4_data_csum_setkey"]


@pytest.mark.parametrize("sums", WAYS)
def test_what_is_in_memory_before_is_verified_with_the_rest(tmp_path: Path, sums: str) -> None:
    """Every second page is there as plaintext, whatever decrypted it."""
    cell_of(tmp_path, sums, **KEYED)
    text = (tmp_path / "e.toml").read_text().replace("[cache]", "[cache]\npages = { every = 2 }")
    (tmp_path / "e.toml").write_text(text.replace("rw =", 'invalidate = "0", rw ='))
    cell, image = cell_of_text(tmp_path)
    metrics = played_cell(cell, image)[0].metrics
    assert (1, 64) == (metrics["digest_ok"], metrics["pages_read"])
    assert "reads_eio" not in metrics


@pytest.mark.parametrize("more", ['read = "before"', 'read = "after"', 'work_queue = "tasklet"'])
@pytest.mark.parametrize("sums", [*WAYS[1:3], WAYS[4], WAYS[6]])
def test_whenever_tags_come_and_whoever_verifies(tmp_path: Path, sums: str, more: str) -> None:
    """Tags before the data or behind it, both queues those of tasklets: the same bytes, and the same work."""
    usual = ran(tmp_path, sums, path="buffer_head", **KEYED)
    cell_of(tmp_path, f"{sums}\n{more}", path="buffer_head", **KEYED)
    text = (tmp_path / "e.toml").read_text()
    if "tasklet" in more:
        text = text.replace('"file-keys"', '"file-keys"\nwork_queue = "tasklet"')
    (tmp_path / "e.toml").write_text(text)
    cell, image = cell_of_text(tmp_path)
    result = played_cell(cell, image)[0]
    assert 1 == result.metrics["digest_ok"]
    for symbol in ("xts_decrypt", "gcm_decrypt", "ext4_data_csum_verify", "end_buffer_async_read"):
        assert calls_of(usual)[symbol] == calls_of(result)[symbol]


@pytest.mark.parametrize("sums", WAYS)
def test_without_bytes_counts_and_times_are_the_same(tmp_path: Path, sums: str) -> None:
    """data = "off" changes neither."""
    real = ran(tmp_path, sums, **KEYED)
    text = (tmp_path / "e.toml").read_text().replace('data = "real"', 'data = "off"')
    (tmp_path / "e.toml").write_text(text)
    cell, image = cell_of_text(tmp_path)
    off = played_cell(cell, image)[0]
    assert real.metrics["elapsed_ns"] == off.metrics["elapsed_ns"]
    assert calls_of(real) == calls_of(off)


@pytest.mark.parametrize(
    ("sums", "change", "problem"),
    [
        (f"layout = 'table_data'\n{MAC}", {}, "key 'file' with encryption.scheme 'none'.*file-keys"),
        (TABLES[0], {"scheme": "fscrypt-v2"}, "key 'file' with encryption.scheme 'fscrypt-v2'"),
        (TABLES[1], {"scheme": "fscrypt-v2"}, "checksum-then-encrypt with encryption.scheme"),
        (TABLES[2], {}, "aead with encryption.scheme 'none'"),
        ('layout = "table_data"\nkey = "file"', KEYED, "key 'file' with algorithm 'crc32c'.*hmac-sha256"),
        (f'{TABLES[2]}\nkey = "volume"', KEYED, "key 'volume' with order 'aead'"),
        (f'{TABLES[1]}\nkey = "volume"', KEYED, "key 'volume' with order 'checksum-then-encrypt'"),
        (f'{TABLES[1]}\nalgorithm = "aes-cmac"', KEYED, "'aes-cmac' with order.*crc32c"),
        (f'{TABLES[2]}\nalgorithm = "crc32c"', KEYED, "'crc32c' with order 'aead'"),
        (f'layout = "per_extent"\n{AEAD}', KEYED, "runs of many blocks.*extent_blocks = 1"),
        (f'layout = "per_extent_place"\nextent_blocks = 1\n{AEAD}', KEYED, "per_extent_place"),
        (f'{TABLES[1]}\ncontext = "completion"', KEYED, 'context "completion" with order'),
        ('layout = "table_data"\norder = "mac"', KEYED, "order"),
        ('layout = "table_data"\nkey = "mine"', KEYED, "key"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, sums: str, change: dict[str, object], problem: str) -> None:
    """One line for each: what does not go together, and what would."""
    with pytest.raises(ConfigError, match=problem) as told_of:
        cell_of(tmp_path, sums, **change)
    assert "\n" not in str(told_of.value)


@pytest.mark.parametrize("order", [FIRST, AEAD])
def test_a_kernel_that_decrypts_below_has_no_such_order(tmp_path: Path, order: str) -> None:
    """7.3 decrypts in blk-crypto-fallback, which knows of no tags of a file."""
    cell_of(tmp_path, f'layout = "table_data"\n{order}', **KEYED)
    text = (tmp_path / "e.toml").read_text() + '[machine]\nkernel = "7.3"\nlarge_folios = false\n'
    (tmp_path / "e.toml").write_text(text)
    with pytest.raises(ConfigError, match="which decrypts below ext4"):
        cell_of_text(tmp_path)
