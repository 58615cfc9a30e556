"""The images of an experiment: made once, with the layout, contents and keys that were asked for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from sim.crypto.fscrypt.contexts import ContentsCipher, Context
from sim.crypto.keys.keyfile import read_keys
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.ext4.read.reader import Image
from sim.files import code_digest
from sim.volume import images
from sim.volume.image_digests import recorded_digest
from sim.volume.images import ensure_image, image_hash, keys_of, plaintext_digests

TEXT = """\
title = "t"
[device]
profile = "nvme"
[volume]
block_size = "1KiB"
files = [{ name = "data", size = "70000" }]
[workload]
job = { bs = "4k" }
"""

FILEFRAG = """\
Filesystem type is: ef53
File size of data is 70000 (69 blocks of 1024 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..      39:       1000..      1039:     40:
   1:       40..      68:       2000..      2028:     29:       1040: last,eof
data: 2 extents found
"""


def _cell(folder: Path, *sets: str):
    (folder / "e.toml").write_text(TEXT)
    return load_experiment(folder / "e.toml", sets).cells[0]


def _runs(image: Path) -> list[tuple[int, int]]:
    """Return (logical, length) of every mapped extent of /data."""
    volume = Image.open(image)
    return [(extent.logical, extent.length) for extent in volume.lookup("/data").tree.extents]


def test_an_image_is_made_once(tmp_path):
    """The second call gives the same file untouched; another volume gives another; nothing lies around."""
    root = tmp_path / "images"
    first = ensure_image(_cell(tmp_path), root)
    stamp = first.stat().st_mtime_ns
    assert ensure_image(_cell(tmp_path, "path=mpage", "machine.cpus=2"), root) == first
    assert stamp == first.stat().st_mtime_ns
    assert ensure_image(_cell(tmp_path, "volume.seed=1"), root) != first
    assert len(list(root.iterdir())) == 2


def test_what_decides_the_bytes_decides_the_name(tmp_path):
    """Block size, files, layout, seed and encryption enter the hash; path, machine and workload do not."""
    plain = image_hash(_cell(tmp_path))
    for same in (
        "path=iomap",
        "device.profile=hdd",
        "workload.job.bs=8k",
        "cache.status=es_cold",
        "data=off",
        "checksums.read=before",
    ):
        assert plain == image_hash(_cell(tmp_path, same)), same
    for other in (
        "volume.block_size=4KiB",
        "volume.seed=3",
        "volume.files.size=80000",
        "encryption.scheme=fscrypt-v2",
        "volume.files.layout={kind='sparse'}",
        "checksums.layout=table_data",
    ):
        assert plain != image_hash(_cell(tmp_path, other)), other


@pytest.mark.parametrize(
    "name",
    [
        "volume/images.py",
        "volume/scheme_image.py",
        "volume/keyed_image.py",
        "crypto/keys/aes_kw.py",
        "ext4/make/mkfs.py",
    ],
)
def test_the_code_that_makes_an_image_decides_its_name(tmp_path, monkeypatch, name):
    """A changed byte in a file that images are made with is another image."""
    monkeypatch.setattr(images, "code_digest", code_digest)  # not what conftest keeps
    before, read = image_hash(_cell(tmp_path)), Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: read(path) + b"#" * path.as_posix().endswith(f"sim/{name}")
    )
    assert before != image_hash(_cell(tmp_path))


def test_an_encrypted_file_decrypts_to_its_digest(tmp_path):
    """With the key file beside the image, what lies on the disk decrypts to the plaintext of the manifest."""
    cell = _cell(tmp_path, "encryption.scheme=fscrypt-v2")
    path = ensure_image(cell, tmp_path / "images")
    volume = Image.open(path)
    inode = volume.lookup("/data")
    raw_context = inode.encryption_context
    assert raw_context is not None
    context = Context.parse(raw_context)
    keys = keys_of(cell, path)
    assert keys is not None
    cipher = ContentsCipher(read_keys(keys, public=True)[context.key_reference], context, 1024)
    ciphertext = volume.read_file(inode, whole_blocks=True)
    plaintext = cipher.decrypt_blocks(ciphertext, 0)[:70000]
    assert plaintext_digests(cell, path)["/data"] == hashlib.sha256(plaintext).hexdigest()
    assert ciphertext[:70000] != plaintext


def test_contents_do_not_depend_on_layout_or_encryption(tmp_path):
    """The same seed and name give the same plaintext on every volume without holes."""
    digests = set()
    for change in (
        "path=mpage",
        "encryption.scheme=fscrypt-v2",
        "volume.files.layout={kind='fragmented',extent='2KiB'}",
    ):
        cell = _cell(tmp_path, change)
        digests.add(plaintext_digests(cell, ensure_image(cell, tmp_path / "images"))["/data"])
    assert len(digests) == 1


LAYOUTS = [
    ("{kind='contiguous'}", [(0, 69)]),
    ("{kind='fragmented',extent='32KiB'}", [(0, 32), (32, 32), (64, 5)]),
    ("{kind='fragmented',extent_blocks=30}", [(0, 30), (30, 30), (60, 9)]),
    ("{kind='sparse',data='16KiB',hole='8KiB'}", [(0, 16), (24, 16), (48, 16)]),
    ("{kind='unwritten'}", [(0, 69)]),
    ("{kind='aged',extent='64MiB',hole_share=0,unwritten_share=1}", [(0, 69)]),
    ("{kind='random',extent='64MiB',seed=1}", [(0, 69)]),
    ("{kind='filefrag',path='l.txt'}", [(0, 40), (40, 29)]),
    ("{kind='fiemap',path='l.json'}", [(0, 10), (20, 49)]),
]


@pytest.mark.parametrize(("layout", "runs"), LAYOUTS)
def test_layouts_lie_as_asked(tmp_path, layout, runs):
    """Every kind of layout of an experiment file gives the extents it says."""
    (tmp_path / "l.txt").write_text(FILEFRAG)
    rows = [[0, 2000 * 1024, 10 * 1024, 0], [20 * 1024, 2500 * 1024, 49 * 1024, 0]]
    (tmp_path / "l.json").write_text(json.dumps(rows))
    path = ensure_image(_cell(tmp_path, f"volume.files.layout={layout}"), tmp_path / "images")
    assert runs == _runs(path)


def test_aged_has_a_seed_of_its_own(tmp_path):
    """The layout's seed moves the extents, and the volume's seed does not."""

    def runs(*sets: str) -> list[tuple[int, int]]:
        return _runs(ensure_image(_cell(tmp_path, *sets), tmp_path / "images"))

    aged = "volume.files.layout={kind='aged',extent='4KiB',seed=%d}"
    assert runs(aged % 1) != runs(aged % 2)
    assert runs(aged % 1) == runs(aged % 1, "volume.seed=9")


def test_written_at_random_and_aged_without_holes(tmp_path):
    """Random: nearly as many extents as blocks, in no order; aged with shares of 0: all is written."""

    def extents(layout: str):
        image = Image.open(
            ensure_image(_cell(tmp_path, f"volume.files.layout={layout}"), tmp_path / "images")
        )
        return image.lookup("/data").tree.extents

    random = extents("{kind='random',seed=3}")
    places = [extent.physical for extent in random]
    assert 60 < len(random) <= 69
    assert places != sorted(places)
    assert set(range(min(places), min(places) + 69)) == {
        extent.physical + number for extent in random for number in range(extent.length)
    }
    aged = extents("{kind='aged',extent='4KiB',hole_share=0,unwritten_share=0}")
    assert (69, False) == (sum(e.length for e in aged), any(e.unwritten for e in aged))


def test_shares_of_aged_are_shares(tmp_path):
    """Shares that are more than a whole are told with their place."""
    for change in ("hole_share=0.7,unwritten_share=0.4", "hole_share=-1", "window=0"):
        with pytest.raises(ConfigError, match=r"volume\.files"):
            _cell(tmp_path, f"volume.files.layout={{kind='aged',{change}}}")


def test_a_failure_leaves_nothing(tmp_path):
    """A volume that cannot be made is an error, and no half image stays."""
    (tmp_path / "l.txt").write_text("rubbish")
    cell = _cell(tmp_path, "volume.files.layout={kind='filefrag',path='l.txt'}")
    with pytest.raises(ConfigError):
        ensure_image(cell, tmp_path / "images")
    assert list((tmp_path / "images").iterdir()) == []


def test_two_makers_at_once(tmp_path, monkeypatch):
    """If another worker finishes the same image first, its image is used."""
    root, cell = tmp_path / "images", _cell(tmp_path)
    make = images._make

    def slower(cell, folder):
        make(cell, folder)
        monkeypatch.setattr(images, "_make", make)
        ensure_image(cell, root)

    monkeypatch.setattr(images, "_make", slower)
    assert ensure_image(cell, root).is_file()
    assert len(list(root.iterdir())) == 1


def test_a_given_image_is_used_as_it_is(tmp_path):
    """An experiment on an image of one's own makes nothing."""
    (tmp_path / "disk.img").write_bytes(b"x")
    (tmp_path / "k.toml").write_text("")
    text = TEXT.replace(
        'block_size = "1KiB"\nfiles = [{ name = "data", size = "70000" }]',
        'image = "disk.img"\nkeys = "k.toml"',
    )
    (tmp_path / "e.toml").write_text(text)
    cell = load_experiment(tmp_path / "e.toml").cells[0]
    assert ensure_image(cell, tmp_path / "images") == tmp_path / "disk.img"
    assert keys_of(cell, tmp_path / "disk.img") == tmp_path / "k.toml"
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("name", ["volume.img", "manifest.json", "digests.json"])
@pytest.mark.parametrize("how", ["poisoned", "cut", "gone"])
def test_an_image_that_was_changed_is_made_anew(tmp_path, name, how):
    """A kept image is held against its digest before it is used; what was poisoned, cut or lost is remade."""
    cell = _cell(tmp_path)
    image = ensure_image(cell, tmp_path / "images")
    before = {path.name: path.read_bytes() for path in image.parent.iterdir()}
    file = image.with_name(name)
    if how == "poisoned":
        with file.open("r+b") as stream:
            stream.seek(-9, 2)
            stream.write(b"poison")
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:-4096])
    else:
        file.unlink()
    assert image == ensure_image(cell, tmp_path / "images")
    assert before == {path.name: path.read_bytes() for path in image.parent.iterdir()}
    assert [image.parent] == list((tmp_path / "images").iterdir())


def test_an_image_that_is_whole_is_not_made_again(tmp_path, monkeypatch):
    """The digest is the only thing that is looked at."""
    cell = _cell(tmp_path)
    image = ensure_image(cell, tmp_path / "images")
    monkeypatch.setattr(images, "_make", None)
    assert image == ensure_image(cell, tmp_path / "images")
    assert hashlib.sha256(image.read_bytes()).hexdigest() == recorded_digest(image)


def test_errors_name_the_experiment(tmp_path):
    """What cannot be laid out is told at the line of the experiment, not at a file that is gone."""
    (tmp_path / "l.json").write_text('{"block_size":1024,"extents":[[0,17179869184000,70656,0]]}')
    cell = _cell(tmp_path, "volume.files.layout={kind='fiemap',path='l.json'}")
    with pytest.raises(
        ConfigError, match=r"e\.toml:6: volume: size: \d+ blocks of 1024 bytes; allowed: 64 to 2\^28"
    ):
        ensure_image(cell, tmp_path / "images")
    many = _cell(
        tmp_path, "volume.files=[{name='data',size='5GiB',layout={kind='sparse',data='1KiB',hole='1KiB'}}]"
    )
    with pytest.raises(ConfigError, match=r"e\.toml:6: volume: layout: pattern: about 5,242,880 extents"):
        ensure_image(many, tmp_path / "images")
