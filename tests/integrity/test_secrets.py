"""What lies in an image's tags for who has no key, and what a key of one file tells of another."""

from __future__ import annotations

import pytest
from integrity_kit import BLOCK, FILE_KEY, VOLUME_KEY, protected

from sim.crypto.macs import mac_key_of
from sim.ext4.edit.files import FileEditor
from sim.ext4.read.reader import Image
from sim.integrity.extents import decode
from sim.integrity.plan import Plan, plan_of
from sim.integrity.protect import check_data
from sim.integrity.tagger import FileSecret, Secrets, Tagger


def test_equal_blocks_have_unlike_tags(tmp_path) -> None:
    """Checksums of plaintext are sealed: two equal blocks of an encrypted file do not show."""
    path = tmp_path / "a.img"
    plan, secrets = protected(path, ("per_extent", "checksum-then-encrypt", "crc32c", 1))
    image = Image.open(path)
    inode = image.lookup("/a")
    tagger = Tagger(plan, image.uuid, secrets, frozenset(secrets.files))
    place = tagger.extent(inode.number, 0, 3, 1, 99)
    zero = bytes(BLOCK)
    cipher = tagger.make(place, zero, b"")
    plain = plan.algorithm.make(b"", 0, place.context + secrets.files[inode.number].decrypt(zero, 3))
    assert 16 == len(cipher)
    assert not cipher.startswith(plain)
    assert cipher != tagger.make(place._replace(logical=4), zero, b"")
    runs, _own = decode(inode, plan)
    assert len({run.tag for run in runs}) == len(runs)


def test_a_key_of_one_file_judges_that_file(tmp_path) -> None:
    """With another file's key, or the volume's alone, its tags are wrong or not judged."""
    path = tmp_path / "a.img"
    _plan, secrets = protected(path, ("per_extent", "encrypt-then-mac", "aes-cmac", 0))
    image = Image.open(path)
    assert [] == check_data(image, secrets).bad
    wrong = {number: FileSecret(bytes(64), one.decrypt) for number, one in secrets.files.items()}
    found = check_data(image, Secrets(VOLUME_KEY, wrong))
    assert {"/a", "/c"} == {bad.path for bad in found.bad}
    alone = check_data(image, Secrets(VOLUME_KEY))
    assert ([], 2) == (alone.bad, alone.unjudged)
    assert mac_key_of(FILE_KEY) not in (FILE_KEY[:32], VOLUME_KEY)


@pytest.mark.parametrize("said", [("checksum", "crc32c"), ("mac", "aes-cmac"), ("mac", "aes-256-gcm")])
def test_equal_data_in_two_places_has_two_tags(said) -> None:
    """In a table, with extents, of the table's own blocks, lists and roots: none takes another's place."""
    plan = Plan.of("table_all", *said)
    tagger = Tagger(plan, bytes(16), Secrets(VOLUME_KEY if said[0] == "mac" else b""), frozenset())
    places = [tagger.block(at, 0, 0) for at in range(5)]
    places += [
        tagger.extent(inode, generation, logical, blocks, 99)
        for inode in (12, 13)
        for generation in (0, 1)
        for logical in (0, 1)
        for blocks in (1, 2)
    ]
    places += [tagger.place(letter, at, (at,), 0, 0) for letter in (b"B", b"L", b"S") for at in range(3)]
    other = Tagger(plan, bytes(15) + b"1", tagger._secrets, frozenset())
    places += [other.block(at, 0, 0) for at in range(5)]
    tags = [tagger.make(place, bytes(BLOCK), b"") for place in places]
    assert len(set(places)) == len(set(tags)) == len(tags)


def test_no_key_is_shown() -> None:
    """By the repr of what holds them."""
    secret = FileSecret(FILE_KEY, lambda data, _block: data)
    text = repr(Secrets(VOLUME_KEY, {5: secret}))
    for raw in (VOLUME_KEY, FILE_KEY):
        assert repr(raw)[2:-1] not in text
        assert raw.hex() not in text


@pytest.mark.parametrize("layout", ["table_data", "per_extent"])
def test_no_key_is_in_an_image(tmp_path, layout) -> None:
    """Neither the volume's, nor a file's, nor what follows from it."""
    path = tmp_path / "a.img"
    protected(path, (layout, "encrypt-then-mac", "aes-cmac", 0))
    raw = path.read_bytes()
    for key in (VOLUME_KEY, FILE_KEY, FILE_KEY[:32], mac_key_of(FILE_KEY)):
        assert key not in raw


def test_the_plan_says_what_it_was_made_with(tmp_path) -> None:
    """Byte for byte: another key, another tag of its own."""
    said = Plan.of("table_all", "mac", "aes-cmac")
    assert said.encode(VOLUME_KEY) != said.encode(bytes(32))
    path = tmp_path / "a.img"
    protected(path, ("table_all", "mac", "aes-cmac", 0))
    plan = plan_of(FileEditor(path).image, VOLUME_KEY)
    assert (said.layout, said.scheme, said.algorithm) == (plan.layout, plan.scheme, plan.algorithm)
    assert plan.table_inode > 11
