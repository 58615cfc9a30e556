"""Per-file keys wrapped by users' keys: formats to the byte, damage, policies, who can open what."""

from __future__ import annotations

import hashlib
import hmac
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from shutil import which

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.keys.binding import FOR_FILE, Binding
from sim.crypto.keys.file_keys import (
    FORMATS,
    MODE_AES_256_GCM,
    MODE_AES_256_XTS,
    MODE_GROUP_KEY,
    FileKey,
    KeyRing,
    UserKey,
    add_user,
    binding_of,
    owners,
    remove_user,
    unwrap,
    wrap,
)
from sim.crypto.keys.policies import AnyOf, Escrow, GroupKey, KOfN, OwnerOnly, Policy, wrap_by_policy
from sim.crypto.keys.wrapped import Share
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError

STREAM = NamedStream(5, "test users")
ALICE, BOB, CAROL, DAVE, EVE = (
    UserKey(name, STREAM(64)) for name in ("alice", "bob", "carol", "dave", "eve")
)
USERS = (ALICE, BOB, CAROL, DAVE)
RING = KeyRing((*USERS, EVE))
KEY = FileKey.generate(NamedStream(5, "file"))
both_formats = pytest.mark.parametrize("form", FORMATS)


def wrapped(form: str, users: tuple[UserKey, ...] = USERS[:3], key: FileKey = KEY) -> bytes:
    """Return a set of wrapped keys."""
    return wrap(form, key, users, NamedStream(1, "wrap"))


def opened(action: Callable[[], FileKey]) -> FileKey | None:
    """Return the key, or None for a CryptoError, which must not show any key."""
    try:
        return action()
    except CryptoError as error:
        said = str(error)
        assert not any(secret.hex()[:12] in said for secret in (KEY.raw, ALICE.raw, BOB.raw))
        return None


def test_rfc2014_packet_byte_for_byte() -> None:
    """
    A packet, taken apart by the description alone: HMAC and AES of other hands (hmac, openssl) give the key.
    """
    raw = wrapped("rfc2014", (ALICE,))
    assert (152, 152, 0) == (len(raw), int.from_bytes(raw[:4], "big"), raw[4])
    packet = raw[5:]
    assert (147, 147, 0) == (len(packet), int.from_bytes(packet[:4], "big"), packet[4])
    assert hashlib.sha512(ALICE.raw).hexdigest()[:16].encode() + b"\0" == packet[5:22]
    nonce, iv, body, tag = packet[22:34], packet[35:51], packet[51:135], packet[135:]
    assert 0 == packet[34]
    enc_key = hmac.digest(ALICE.raw, nonce + b"e", "sha512")[:32]
    int_key = hmac.digest(ALICE.raw, nonce + b"i", "sha512")[:12]
    assert hmac.digest(int_key, packet[:34] + b"i" + packet[35:135], "sha1")[:12] == tag
    if (openssl := which("openssl")) is None:
        pytest.skip("openssl is not installed")
    words = [openssl, "enc", "-d", "-aes-256-ctr", "-K", enc_key.hex(), "-iv", iv.hex()]
    plain = subprocess.run(words, input=body, capture_output=True, check=True).stdout
    assert (1).to_bytes(4, "big") + KEY.raw + bytes(12) + (64).to_bytes(4, "big") == plain


def test_aes_kw_layout() -> None:
    """Header, sorted ids, room for 80 bytes of wrapped key: 24 + 112 a user."""
    raw = wrapped("aes-kw", (CAROL, ALICE))
    assert b"\x11rkw" + (2).to_bytes(4, "big") + bytes((80, 0, 0, 0)) == raw[:12]
    assert 24 + 2 * 112 == len(raw)
    assert b"alice".ljust(31, b"\0") + bytes((80,)) == raw[24:56]
    assert ["alice", "carol"] == owners(raw)


@both_formats
@pytest.mark.parametrize("mode", [MODE_AES_256_XTS, MODE_AES_256_GCM, MODE_GROUP_KEY])
def test_each_user_opens_with_their_own_key(form: str, mode: int) -> None:
    """Every user gets the file's key and mode; who was not named gets ENOKEY."""
    key = FileKey.generate(NamedStream(2, "file"), mode)
    raw = wrapped(form, key=key)
    for user in USERS[:3]:
        assert key == unwrap(raw, user)
        assert key == RING.unwrap(raw, user.user)
    for stranger in (DAVE, EVE):
        with pytest.raises(CryptoError, match="ENOKEY: no wrapped key for " + stranger.user):
            unwrap(raw, stranger, "disk.img: inode 12")


@both_formats
def test_wrong_key_under_the_right_name(form: str) -> None:
    """A key that only claims the user's name, or signature, opens nothing."""
    raw = wrapped(form)
    with pytest.raises(CryptoError):
        unwrap(raw, UserKey("alice", EVE.raw))
    if form == "rfc2014":
        forged = raw.replace(ALICE.signature.encode(), EVE.signature.encode())
        with pytest.raises(CryptoError, match="its tag is wrong"):
            unwrap(forged, EVE)
    else:
        forged = raw.replace(b"bob\0\0\0", b"bub\0\0\0")
        with pytest.raises(CryptoError, match="its check is wrong"):
            unwrap(forged, UserKey("bub", BOB.raw))


@both_formats
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damage_never_gives_another_key(form: str, data: st.DataObject) -> None:
    """One changed bit anywhere, or a cut: each user gets the file's own key, or a CryptoError."""
    raw = wrapped(form)
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    changed = bytearray(raw)
    changed[at // 8] ^= 1 << at % 8
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    found = [opened(lambda u=user: unwrap(bytes(changed), u)) for user in USERS]
    assert {key.raw for key in found if key is not None} <= {KEY.raw}
    assert all(opened(lambda u=user: unwrap(cut, u)) is None for user in USERS)


@both_formats
def test_every_bit_of_ones_own_packet_counts(form: str) -> None:
    """In a set of one packet every bit is checked, but the last of the nonce, which the format ignores."""
    raw = wrapped(form, (ALICE,))
    ignored = range(39 * 8, 40 * 8) if form == "rfc2014" else range(0)
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        assert (KEY if bit in ignored else None) == opened(lambda c=bytes(changed): unwrap(c, ALICE))


@both_formats
def test_a_damaged_packet_is_no_ones_elses(form: str) -> None:
    """A packet that says a length that cannot be keeps its user out, not those with packets beside it."""
    bound = Binding.new(FOR_FILE, bytes(16), 7, b"/f", NamedStream(1, "bound"))
    raw = bytearray(wrap(form, KEY, USERS[:3], NamedStream(1, "wrap"), bound))
    at = {"aes-kw": 24 + 56 + 112 + 31, "rfc2014": 5 + 61 + 147 + 3}[form]
    raw[at] ^= 4
    assert bound == binding_of(bytes(raw))
    found = [opened(lambda user=user: RING.unwrap(bytes(raw), user.user)) for user in USERS[:3]]
    assert [KEY, None, KEY] == found
    with pytest.raises(CryptoError):
        owners(bytes(raw))


@both_formats
@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_one_error(form: str, raw: bytes) -> None:
    """Whatever an xattr holds, with the right first byte or any other: a CryptoError."""
    for data in (raw, bytes((FORMATS[form].FIRST_BYTES[0],)) + raw):
        assert opened(lambda d=data: unwrap(d, USERS)) is None


@both_formats
def test_adding_and_removing_rewraps(form: str) -> None:
    """
    A user comes and goes; the file's key stays, the others' packets too, and their order does not matter.
    """
    raw = wrapped(form)
    more = add_user(raw, BOB, DAVE, NamedStream(3, "add"))
    assert all(KEY == unwrap(more, user) for user in USERS)
    fewer = remove_user(more, FORMATS[form].label(ALICE))
    assert opened(lambda: unwrap(fewer, ALICE)) is None
    assert all(KEY == unwrap(fewer, user) for user in USERS[1:])
    assert set(FORMATS[form].decode(fewer, "")) < set(FORMATS[form].decode(more, ""))
    with pytest.raises(CryptoError, match="already"):
        add_user(raw, BOB, ALICE, NamedStream(3, "add"))
    with pytest.raises(CryptoError, match="ENOKEY"):
        add_user(raw, EVE, DAVE, NamedStream(3, "add"))
    with pytest.raises(CryptoError, match="has no wrapped key for eve"):
        remove_user(raw, "eve")
    with pytest.raises(CryptoError, match="is the last user"):
        remove_user(wrapped(form, (ALICE,)), FORMATS[form].label(ALICE))
    with pytest.raises(CryptoError, match="one user"):
        wrap(form, KEY, (ALICE, ALICE), NamedStream(0, ""))


POLICIES: list[tuple[Policy, list[set[str]]]] = [
    (OwnerOnly("alice"), [{"alice"}]),
    (AnyOf(["alice", "bob"]), [{"alice"}, {"bob"}]),
    (GroupKey("@staff"), [{"@staff"}]),
    (Escrow(OwnerOnly("bob"), "dave"), [{"bob"}, {"dave"}]),
    (KOfN(2, ["alice", "bob", "carol"]), [{"alice", "bob"}, {"alice", "carol"}, {"bob", "carol"}]),
    (Escrow(KOfN(3, ["alice", "bob", "carol"]), "eve"), [{"alice", "bob", "carol"}, {"eve"}]),
]


@both_formats
@pytest.mark.parametrize(("policy", "enough"), POLICIES, ids=lambda value: type(value).__name__)
def test_policies(form: str, policy: Policy, enough: list[set[str]]) -> None:
    """Of all sets of people, exactly those that hold what the policy asks for open the file."""
    ring = KeyRing((*RING, UserKey("@staff", bytes(range(64)))))
    raw = wrap_by_policy(form, KEY, policy, ring, NamedStream(9, "policy"))
    names = ("alice", "bob", "carol", "dave", "eve", "@staff")
    for size in (1, 2, 3):
        for people in combinations(names, size):
            want = KEY if any(some <= set(people) for some in enough) else None
            assert want == opened(lambda p=people: ring.unwrap(raw, p))


@both_formats
def test_group_key_is_wrapped_for_its_members(form: str) -> None:
    """A member opens the group's key and with it the file; someone else opens neither."""
    group = FileKey.generate(NamedStream(4, "group"), MODE_GROUP_KEY)
    members = wrap(form, group, (ALICE, BOB), NamedStream(4, "members"))
    maker = KeyRing((ALICE,))
    maker.add_group("@staff", members, "alice")
    raw = wrap_by_policy(form, KEY, GroupKey("@staff"), maker, NamedStream(4, "file"))
    ring = KeyRing((BOB,))
    ring.add_group("@staff", members, "bob")
    assert KEY == ring.unwrap(raw, "@staff")
    with pytest.raises(CryptoError, match="ENOKEY"):
        KeyRing((EVE,)).add_group("@staff", members, "eve")
    with pytest.raises(CryptoError, match="holds a key of mode 1"):
        KeyRing((ALICE,)).add_group("@staff", wrapped(form), "alice")


@both_formats
def test_shares_of_another_key(form: str) -> None:
    """Shares of two keys, or a share that its holder replaced, give an error and no key."""
    policy = KOfN(2, ["alice", "bob"])
    raw = wrap_by_policy(form, KEY, policy, RING, NamedStream(1, "a"))
    other = wrap_by_policy(form, FileKey.generate(NamedStream(6, "other")), policy, RING, NamedStream(1, "a"))
    packets, others = FORMATS[form].decode(raw, ""), FORMATS[form].decode(other, "")
    mixed = FORMATS[form].encode([packets[0], others[1]])
    with pytest.raises(CryptoError, match="of different keys"):
        RING.unwrap(mixed, ["alice", "bob"])
    share = FORMATS[form].unwrap(packets[1], BOB, "")
    assert isinstance(share, Share)
    changed = replace(share, value=bytes((share.value[0] ^ 1,)) + share.value[1:])
    forged = FORMATS[form].wrap(changed, BOB, NamedStream(2, "b"), packets[0])
    with pytest.raises(CryptoError, match="do not give the key that was shared"):
        RING.unwrap(FORMATS[form].encode([packets[0], forged]), ["alice", "bob"])
    with pytest.raises(CryptoError, match="1 of 2 shares"):
        RING.unwrap(raw, "alice")
    with pytest.raises(CryptoError, match="has a share of the key"):
        add_user(raw, ALICE, DAVE, NamedStream(0, ""))


@both_formats
def test_a_thousand_wrapped_keys(form: str) -> None:
    """A user among 1,000 is found, wherever they stand, and nobody else is (make bench times it)."""
    users = [UserKey(f"user{number}", NamedStream(7, f"{number}")(64)) for number in range(1000)]
    raw = wrap(form, KEY, users, NamedStream(7, "wrap"))
    assert {"rfc2014": 5 + 147_000, "aes-kw": 24 + 112_000}[form] == len(raw)
    for user in (users[0], users[500], users[999]):
        assert KEY == unwrap(raw, user)
    assert opened(lambda: unwrap(raw, EVE)) is None


def test_nothing_shows_a_key() -> None:
    """Reprs of keys, rings and shares hold no byte of them."""
    ring = KeyRing((ALICE,))
    shares = KOfN(2, ["alice", "bob"]).secrets(KEY, NamedStream(0, ""))
    said = " ".join(map(repr, (ALICE, KEY, ring, *ring, shares)))
    secrets = [
        ALICE.raw,
        KEY.raw,
        *(share.value for _user, share in shares if not isinstance(share, FileKey)),
    ]
    for secret in secrets:
        assert not any(form in said for form in (secret.hex()[:12], repr(secret[:6])[2:-1]))


def test_bad_keys() -> None:
    """Lengths, modes, ids and formats that are not ours are refused with what is allowed."""
    for action, message in (
        (lambda: UserKey("alice", bytes(32)), "key of user alice: is 32 bytes long; allowed: 64"),
        (lambda: UserKey("", bytes(64)), "a user id of 0 bytes; allowed: 1 .. 31 bytes"),
        (lambda: UserKey("x" * 32, bytes(64)), "1 .. 31 bytes"),
        (lambda: FileKey(7, bytes(64)), "file key: mode 7; allowed: 1, 2, 256"),
        (lambda: FileKey(1, bytes(32)), "is 32 bytes long; allowed: 64 bytes in mode 1"),
        (lambda: wrap("rfc2015", KEY, (ALICE,), STREAM), "format 'rfc2015'; allowed: rfc2014, aes-kw"),
        (lambda: wrap("aes-kw", KEY, (), STREAM), "0 packets"),
        (lambda: unwrap(b"\x02" + bytes(39), ALICE), "version 02 of wrapped keys; allowed: 0x00 (rfc2014)"),
        (lambda: KeyRing((ALICE, UserKey("alice", BOB.raw))), "two keys of alice"),
        (lambda: RING.key("mallory"), "ENOKEY: no key of user mallory"),
    ):
        with pytest.raises(CryptoError, match=re.escape(message)):
            action()
