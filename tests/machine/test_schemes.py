"""Every scheme of encryption, from the experiment file to the bytes read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tools import tool

from sim.errors import ConfigError
from sim.experiment.loading import expand
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

SCHEMES: list[dict[str, Any]] = [
    {"scheme": "none"},
    {"scheme": "inline"},
    {"scheme": "fscrypt-v2", "charge_open": True},
    {"scheme": "file-keys", "policy": "any-of", "users": 4, "charge_open": True},
    {"scheme": "file-keys", "policy": "any-of", "users": 60, "charge_open": True},
    {"scheme": "file-keys", "policy": "group", "users": 3},
    {"scheme": "file-keys", "policy": "k-of-n", "users": 5, "needed": 3, "format": "rfc2014"},
    {"scheme": "rfc2014", "charge_open": True},
    {"scheme": "dm-crypt"},
    {"scheme": "dm-crypt", "cipher": "aes-cbc-essiv:sha256", "no_read_workqueue": True},
    {"scheme": "dm-crypt", "sector_size": 4096},
    {"scheme": "ecryptfs"},
    {"scheme": "ecryptfs", "cipher": "aes-256"},
]


def cell(encryption: dict[str, Any], **top: Any) -> Any:
    """Return a small cell: 200,001 bytes in extents of 32 KiB, freshly mounted."""
    raw = {
        "title": "schemes",
        "device": {"profile": "null_blk"},
        "volume": {
            "block_size": "4KiB",
            "files": [{"name": "data", "size": 200_001, "layout": {"kind": "fragmented", "extent": "32KiB"}}],
        },
        "workload": {"job": {"rw": "read", "bs": "16k"}},
        "cache": {"status": "all_cold"},
        "encryption": encryption,
        **top,
    }
    return expand(raw, Path("schemes.toml"), []).cells[0]


@pytest.mark.parametrize("path", ["buffer_head", "page_io"])
@pytest.mark.parametrize("encryption", SCHEMES, ids=lambda said: "-".join(map(str, said.values())))
def test_what_is_read_is_the_plaintext(tmp_path: Path, encryption: dict[str, Any], path: str) -> None:
    """Real bytes come out right; with data off, the same counts and times without them."""
    real = cell(encryption, path=path)
    image = ensure_image(real, tmp_path)
    with_bytes = run_cell(real, image, trace=False)
    without = run_cell(cell(encryption, path=path, data="off"), image, trace=False)
    assert 1 == with_bytes.metrics["digest_ok"]
    assert with_bytes.calls == without.calls
    assert {**with_bytes.metrics, "digest_ok": -1} == without.metrics


def test_random_reads_through_ecryptfs_are_compared_too(tmp_path: Path) -> None:
    """Another order than front to back goes by comparison with the plain contents."""
    job = {"job": {"rw": "randread", "bs": "4k", "size": "192k"}}
    for scheme in ("ecryptfs", "dm-crypt", "rfc2014"):
        chosen = cell({"scheme": scheme}, workload=job)
        assert 1 == run_cell(chosen, ensure_image(chosen, tmp_path), trace=True).metrics["digest_ok"]


def test_only_what_opens_files_has_an_open_time(tmp_path: Path) -> None:
    """open_ns is 0 unless charged; k keys cost more than one, and eCryptfs has its header to read."""
    took = {}
    for name, said in {
        "free": {"scheme": "file-keys"},
        "one": {"scheme": "file-keys", "charge_open": True},
        "three": {"scheme": "file-keys", "policy": "k-of-n", "users": 3, "needed": 3, "charge_open": True},
        "ecryptfs": {"scheme": "ecryptfs"},
    }.items():
        chosen = cell(said)
        took[name] = run_cell(chosen, ensure_image(chosen, tmp_path), trace=False).metrics["open_ns"]
    assert 0 == took["free"] < took["one"] < took["three"]
    assert 0 < took["ecryptfs"]


def test_keys_that_fill_no_block_are_read_in_one_go(tmp_path: Path) -> None:
    """60 wrapped keys lie in two blocks of an inode of their own, 4 in an xattr block: one wait each."""
    took = {}
    for users in (4, 60):
        chosen = cell({"scheme": "file-keys", "policy": "any-of", "users": users, "charge_open": True})
        took[users] = run_cell(chosen, ensure_image(chosen, tmp_path), trace=True)
    assert 1 == len(took[60].io) - len(took[4].io)
    nvme = {"device": {"profile": "nvme"}}
    waits = {}
    for users in (4, 60):
        said = {"scheme": "file-keys", "policy": "any-of", "users": users, "charge_open": True}
        chosen = cell(said, **nvme)
        waits[users] = run_cell(chosen, ensure_image(chosen, tmp_path), trace=False).metrics["open_ns"]
    assert waits[4] < waits[60] < 1.2 * waits[4]


def test_dm_crypt_hides_the_file_system_and_fscrypt_does_not(tmp_path: Path) -> None:
    """An image of dm-crypt has no superblock in sight; e2fsck is content with the others, without a key."""
    program = tool("e2fsck")
    for said in SCHEMES:
        image = ensure_image(cell(said), tmp_path)
        done = subprocess.run([program, "-fn", image], capture_output=True, text=True, check=False)
        if said["scheme"] == "dm-crypt":
            assert b"\x53\xef" != image.read_bytes()[1080:1082]
            assert "Bad magic number" in done.stderr
        else:
            assert 0 == done.returncode, f"{said}: {done.stdout}"


def test_inline_is_fscrypts_image_without_its_work(tmp_path: Path) -> None:
    """The same bytes on the disk, no cipher on any CPU, and no work item."""
    image = ensure_image(cell({"scheme": "fscrypt-v2"}), tmp_path)
    assert image == ensure_image(cell({"scheme": "inline"}), tmp_path)
    symbols = {row.symbol for row in run_cell(cell({"scheme": "inline"}), image, trace=False).calls}
    assert not {"xts_decrypt", "decrypt_work", "fscrypt_crypt_block"} & symbols
    assert {"fscrypt_set_bio_crypt_ctx", "__blk_crypto_rq_get_keyslot"} <= symbols


def test_inline_does_not_merge_across_data_unit_numbers(tmp_path: Path) -> None:
    """Where the disk goes on but the file does not (a hole between), a bio and a request end."""
    bios, requests = {}, {}
    volume = {"block_size": "4KiB", "files": [{"name": "data", "size": "128KiB", "layout": None}]}
    adjacent = {"extents": [[8192 * i, 4096 * (100 + i), 4096, 0] for i in range(16)], "block_size": 4096}
    (tmp_path / "layout.json").write_text(json.dumps(adjacent))
    volume["files"][0]["layout"] = {"kind": "fiemap", "path": "layout.json"}
    for scheme in ("none", "inline"):
        for path in ("page_io", "buffer_head"):
            chosen = expand(
                {
                    "title": "holes",
                    "path": path,
                    "device": {"profile": "null_blk"},
                    "volume": volume,
                    "workload": {"job": {"rw": "read", "bs": "128k"}},
                    "encryption": {"scheme": scheme},
                },
                tmp_path / "holes.toml",
                [],
            ).cells[0]
            metrics = run_cell(chosen, ensure_image(chosen, tmp_path), trace=False).metrics
            assert 1 == metrics["digest_ok"]
            bios[scheme, path], requests[scheme, path] = metrics["bios"], metrics["requests"]
    assert (1, 16) == (bios["none", "page_io"], bios["inline", "page_io"])
    assert (1, 16) == (requests["none", "page_io"], requests["inline", "page_io"])
    assert (1, 16) == (requests["none", "buffer_head"], requests["inline", "buffer_head"])


@pytest.mark.parametrize(
    ("encryption", "blocks", "message"),
    [
        ({"scheme": "luks"}, "4KiB", "encryption.scheme: 'luks' is not known; allowed: none, inline,"),
        (
            {"scheme": "none", "sector_size": 512},
            "4KiB",
            "sector_size with scheme 'none'; allowed: scheme dm",
        ),
        ({"scheme": "dm-crypt", "sector_size": 1024}, "4KiB", "sector_size 1024 is not modelled"),
        ({"scheme": "dm-crypt", "sector_size": 4096}, "1KiB", "sector_size 4096 with blocks of 1024 bytes"),
        (
            {"scheme": "dm-crypt", "cipher": "aes-128"},
            "4KiB",
            "cipher 'aes-128' is not modelled; allowed: aes-x",
        ),
        (
            {"scheme": "fscrypt-v2", "users": 2},
            "4KiB",
            "users with scheme 'fscrypt-v2'; allowed: scheme file-k",
        ),
        ({"scheme": "file-keys", "users": 2}, "4KiB", "2 users with policy 'owner'"),
        ({"scheme": "file-keys", "policy": "k-of-n", "users": 2, "needed": 3}, "4KiB", "3 of 2 users"),
        ({"scheme": "rfc2014", "format": "aes-kw"}, "4KiB", "format with scheme 'rfc2014'"),
        (
            {"scheme": "rfc2014"},
            "1KiB",
            "encryption.scheme 'rfc2014' with blocks of 1024 bytes; allowed: 4KiB",
        ),
    ],
)
def test_what_is_not_modelled_is_told(encryption: dict[str, Any], blocks: str, message: str) -> None:
    """An option of another scheme, or a value that is not modelled, is one line."""
    with pytest.raises(ConfigError) as raised:
        cell(encryption, volume={"block_size": blocks, "files": [{"name": "data", "size": "64KiB"}]})
    assert message in str(raised.value)


def test_ecryptfs_refuses_holes() -> None:
    """eCryptfs writes every page: a sparse lower file would not be one of its."""
    sparse = {"name": "data", "size": "64KiB", "layout": {"kind": "sparse"}}
    with pytest.raises(ConfigError, match="'ecryptfs' with layout 'sparse'"):
        cell({"scheme": "ecryptfs"}, volume={"block_size": "4KiB", "files": [sparse]})
