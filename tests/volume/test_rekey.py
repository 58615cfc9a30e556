"""
rekey: a new key for those who are named. What the image says of who had the old one can be mallory's doing.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from key_file import secret_keys
from mallory_kit import TEXTS, USERS, both_formats, encrypt, keys, put_keys, reads, with_packet
from tools import e2fsck
from verbs_kit import run

from sim.crypto.keys.file_keys import FORMATS, KeyRing, binding_of, owners
from sim.crypto.keys.policies import Escrow, KOfN, wrap_by_policy
from sim.crypto.streams import NamedStream
from sim.errors import ConfigError, CryptoError
from sim.ext4.read.reader import Image


@both_formats
@pytest.mark.parametrize("mode", ["xts", "gcm"])
def test_rekey(image: Path, base: Path, form: str, mode: str) -> None:
    """
    New data under a new key for all but one, shares split anew; old wrapped keys put back open nothing of it.
    """
    all_keys = ("--keys", base / "all.toml")
    encrypt(image, "/secret", base, "--user", "alice", "--user", "mallory", "--mode", mode, "--format", form)
    inode = Image.open(image).lookup("/secret")
    old, old_data = keys(image, "/secret"), Image.open(image).read_file(inode, whole_blocks=True)
    said = run("rekey", image, "/secret", *all_keys, "--as", "alice", "--without", "mallory").stdout
    assert said.startswith("/secret: encrypted anew for alice. But who has kept the old key reads what older")
    e2fsck(image)
    new_data = Image.open(image).read_file(Image.open(image).lookup("/secret"), whole_blocks=True)
    assert not {old_data[at : at + 16] for at in range(0, len(old_data), 16)} & {
        new_data[at : at + 16] for at in range(0, len(new_data), 16)
    }
    assert TEXTS["/secret"] == reads(image, "/secret", base, "alice")
    assert None is reads(image, "/secret", base, "mallory")
    put_keys(image, "/secret", old)
    found = reads(image, "/secret", base, "mallory")
    assert found is None if mode == "gcm" else b"SECRET" not in (found or b"")
    words = [word for user in USERS[:3] for word in ("--user", user)]
    encrypt(image, "/lunch", base, *words, "--needed", 2, "--format", form)
    two = ("--as", "bob", "--as", "carol")
    run("rekey", image, "/lunch", *all_keys, *two, "--keep", "alice", "--mode", mode)
    assert TEXTS["/lunch"] == run("cat", image, "/lunch", *all_keys, *two).stdout_bytes
    with pytest.raises(CryptoError, match="1 would be left, and 2 are needed"):
        run("rekey", image, "/lunch", *all_keys, *two, "--without", "alice", "--without", "bob")
    with pytest.raises(CryptoError, match="has no wrapped key for mallory"):
        run("rekey", image, "/lunch", *all_keys, *two, "--keep", "alice", "--without", "mallory")
    encrypt(image, "/d/notes", base, "--user", "alice", "--user", "bob", "--format", form)
    with pytest.raises(CryptoError, match="has no user bob"):
        run("rekey", image, "/d/notes", "--keys", base / "alice.toml", "--as", "alice", "--keep", "bob")
    with pytest.raises(ConfigError, match="bob is kept and left out"):
        run("rekey", image, "/d/notes", *all_keys, "--as", "alice", "--keep", "bob", "--without", "bob")


def readers(image: Path, base: Path) -> list[str]:
    """Return who reads /secret alone."""
    return [user for user in USERS if reads(image, "/secret", base, user) == TEXTS["/secret"]]


@both_formats
@pytest.mark.parametrize("attack", ["made up for herself", "made up for carol", "put back", "none"])
def test_only_who_is_named_gets_the_new_key(image: Path, base: Path, form: str, attack: str) -> None:
    """
    A packet that mallory has made, for herself or a colleague, and her own, taken away and put back: rekey
    asks about it as about every other one, and wraps nothing for anyone who is not named.
    """
    alice, bob, carol, mallory = secret_keys(base / "all.toml")
    words = ("rekey", image, "/secret", "--keys", base / "all.toml", "--as", "alice")
    users = ("--user", "alice", "--user", "bob", "--user", "mallory")
    encrypt(image, "/secret", base, *users, "--format", form)
    old = keys(image, "/secret")
    run("unshare", image, "/secret", "mallory", "--keys", base / "all.toml")
    raw = keys(image, "/secret")
    raw, third = {
        "made up for herself": (with_packet(raw, mallory), "mallory"),
        "made up for carol": (with_packet(raw, carol), "carol"),
        "put back": (old, "mallory"),
        "none": (raw, None),
    }[attack]
    put_keys(image, "/secret", raw)
    before, asked = image.read_bytes(), {"bob", third} - {None}
    with pytest.raises(CryptoError, match="too, as whoever writes to the image can have made it") as told:
        run(*words)
    assert asked == set(told.value.problem.removeprefix("is wrapped for ").partition(" too,")[0].split(", "))
    for others in (("--keep", "bob"), ("--without", "bob")):
        if third is not None:
            with pytest.raises(CryptoError, match=f"is wrapped for {third} too"):
                run(*words, *others)
    third_too = () if third is None else ("--without", third)
    with pytest.raises(CryptoError, match="has no wrapped key for nobody"):
        run(*words, "--keep", "bob", *third_too, "--without", "nobody")
    assert before == image.read_bytes()
    assert "encrypted anew for alice, bob. " in run(*words, "--keep", "bob", *third_too).stdout
    assert {FORMATS[form].label(key) for key in (alice, bob)} == set(owners(keys(image, "/secret")))
    assert ["alice", "bob"] == readers(image, base)


@both_formats
def test_a_share_stays_a_share(image: Path, base: Path, form: str) -> None:
    """
    Bob, who has a share and can write, makes it look like the whole key, or wraps a key of his own for
    himself: he does not get all of the new key by that. The authority gets it, named as one.
    """
    _alice, bob, _carol, _boss = secret_keys(base / "all.toml")
    users = [word for user in USERS[:3] for word in ("--user", user)]
    encrypt(image, "/secret", base, *users, "--needed", 2, "--escrow", "mallory", "--format", form)
    words = ("rekey", image, "/secret", "--keys", base / "all.toml")
    good, two = keys(image, "/secret"), ("--as", "alice", "--as", "carol")
    for raw, said, message in (
        (with_packet(good, bob), (*two, "--without", "mallory", "--keep", "bob"), "vouches for what bob has"),
        (with_packet(good, bob), (*two, "--without", "mallory", "--as", "bob"), "damaged or for another key"),
        (with_packet(good, bob, bob), ("--as", "mallory", "--as", "bob"), "for bob is not the file's key"),
        (good, (*two, "--keep", "bob", "--keep", "mallory"), "nothing vouches for what mallory has"),
    ):
        put_keys(image, "/secret", raw)
        before = image.read_bytes()
        with pytest.raises(CryptoError, match=message):
            run(*words, *said)
        assert before == image.read_bytes()
    done = run(*words, *two, "--keep", "bob", "--escrow", "mallory")
    assert done.stdout.startswith("/secret: encrypted anew for mallory, alice, bob, carol.")
    assert ["mallory"] == readers(image, base)
    for pair in (("alice", "bob"), ("bob", "carol")):
        both = [word for user in pair for word in ("--as", user)]
        said = run("cat", image, "/secret", "--keys", base / "all.toml", *both)
        assert TEXTS["/secret"] == said.stdout_bytes


@both_formats
def test_shares_of_older_versions(image: Path, base: Path, form: str) -> None:
    """
    Such a set vouches for no number of shares, and that of 2014 not for who has one: the authority splits
    nothing anew, two with shares do, where it can be told that the third has one too.
    """
    people = secret_keys(base / "all.toml")
    encrypt(image, "/secret", base, "--user", "alice", "--format", form)
    key = KeyRing(people).unwrap(keys(image, "/secret"), "alice")
    policy = Escrow(KOfN(2, USERS[:3]), "mallory")
    old = wrap_by_policy(form, key, policy, KeyRing(people), NamedStream(1, "old"))
    put_keys(image, "/secret", old)
    words = ("rekey", image, "/secret", "--keys", base / "all.toml")
    with pytest.raises(CryptoError, match="nothing vouches for what"):
        run(*words, "--as", "mallory", "--as", "alice", "--keep", "bob", "--keep", "carol")
    two = (*words, "--as", "alice", "--as", "bob", "--without", "mallory", "--keep", "carol")
    if form == "rfc2014":
        with pytest.raises(CryptoError, match="nothing vouches for what carol has"):
            run(*two)
        return
    run(*two)
    assert [] == readers(image, base)
    assert 2 == binding_of(keys(image, "/secret")).needed
