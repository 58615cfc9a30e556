"""
Keys of files, each wrapped for the users who may read the file: scheme "file-keys".

A file has a random key of its own. Two xattrs of index 9 belong to it. "c", where fscrypt has its context,
holds 4 bytes: a version that is none of fscrypt's, so that a kernel does not open the file and e2fsck
leaves it alone, the mode of its contents, and two zeros. "k" holds the key, wrapped for one user after
another in one of two formats, each a module beside this one: `rfc2014` and `aes-kw`. (The 2014 patches
put their packets where "c" is now; their first byte, 0, is one that e2fsck takes for damage.) Who gets what
is a policy's affair (policies.py). Adding and removing users changes packets, never the data. A set is bound
to its file (binding.py); one that is bound to nothing, as older versions made it, is read all the same.

Every function here is bytes in, bytes out. Anything that is not right, a wrong key, a changed bit, a cut
xattr, an unknown version, is a CryptoError; one that says ENOKEY means that no key at hand is among those
the file was wrapped for.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sim.crypto.keys import aes_kw, rfc2014
from sim.crypto.keys.binding import Binding, parse_binding
from sim.crypto.keys.packet_format import Format
from sim.crypto.keys.user_keys import GROUP_MARK, PublicKey, UserKey
from sim.crypto.keys.wrapped import (
    MODE_AES_256_GCM,
    MODE_AES_256_XTS,
    MODE_GROUP_KEY,
    FileKey,
    Secret,
    Share,
    join_shares,
)
from sim.crypto.streams import Random
from sim.errors import CryptoError

__all__ = [
    "CONTEXT_VERSION",
    "FORMATS",
    "KEYS_NAME",
    "MODE_AES_256_GCM",
    "MODE_AES_256_XTS",
    "MODE_GROUP_KEY",
    "REMOVAL_NOTE",
    "FileKey",
    "KeyRing",
    "UserKey",
    "add_user",
    "binding_of",
    "clobbered",
    "context",
    "format_of",
    "is_shredded",
    "owners",
    "parse_context",
    "remove_user",
    "secret_of",
    "secret_parts",
    "unwrap",
    "wrap",
    "wrap_secrets",
]

REMOVAL_NOTE = (
    "a removed user may have kept the file's key or its contents, and opens any older copy of the image; "
    "who can write to the image can put the old wrapped keys back; "
    "only new data under a new key is out of reach (rekey)"
)
"""What removing a user's packet cannot undo."""

PLACE = "wrapped keys"

KEYS_NAME = b"k"
CONTEXT_VERSION = 0x11
_CONTEXT_BYTES = 4


FORMATS: Mapping[str, Format] = {rfc2014.NAME: rfc2014, aes_kw.NAME: aes_kw}


def context(mode: int) -> bytes:
    """Return the 4 bytes of the xattr "c" of a file whose contents are in a mode."""
    return bytes((CONTEXT_VERSION, mode, 0, 0))


def parse_context(raw: bytes, place: str) -> int:
    """Return the mode that an xattr "c" says; CryptoError, naming `place`, if it is not one of ours."""
    if len(raw) != _CONTEXT_BYTES or raw[0] != CONTEXT_VERSION or any(raw[2:]):
        raise CryptoError(
            place, f"encryption context version {raw[:1].hex()}", f"{CONTEXT_VERSION:x} (file-keys)"
        )
    if raw[1] not in (MODE_AES_256_XTS, MODE_AES_256_GCM):
        raise CryptoError(place, f"contents mode {raw[1]}", "1 (AES-256-XTS), 2 (AES-256-GCM)")
    return raw[1]


def format_of(raw: bytes, place: str = PLACE) -> Format:
    """Return the format of a set of wrapped keys; CryptoError, naming `place`, if it is none of ours."""
    for form in FORMATS.values():
        if raw[:1] in {bytes((first,)) for first in form.FIRST_BYTES}:
            if is_shredded(raw):
                raise CryptoError(place, "ENOKEY: the wrapped keys were shredded", "a file with its keys")
            return form
    allowed = ", ".join(
        f"{first:#04x} ({form.NAME})" for form in FORMATS.values() for first in form.FIRST_BYTES
    )
    raise CryptoError(place, f"version {raw[:1].hex() or 'missing'} of wrapped keys", allowed)


def is_shredded(raw: bytes) -> bool:
    """Return whether a set is what `clobbered` leaves."""
    return len(raw) > 1 and not any(raw[1:])


def owners(raw: bytes, place: str = PLACE) -> list[str]:
    """Return whom a file is wrapped for, as anyone can tell: user ids (aes-kw), names of keys (rfc2014)."""
    form = format_of(raw, place)
    return [form.owner(packet) for packet in form.decode(raw, place)]


def binding_of(raw: bytes, place: str = PLACE) -> Binding | None:
    """Return what a set is bound to; None for nothing. CryptoError, naming `place`, for what is no set."""
    bound = format_of(raw, place).set_record(raw, place)
    return parse_binding(bound, place) if bound else None


def wrap_secrets(
    form: str,
    secrets: Iterable[tuple[UserKey | PublicKey, Secret]],
    random: Random,
    binding: Binding | None = None,
) -> bytes:
    """
    Return the xattr that holds a secret for each key; CryptoError if a user is there twice, or none is.

    binding: what the set is for; None for a set that opens anywhere, as experiments with made-up keys use.
    """
    chosen = FORMATS.get(form)
    if chosen is None:
        raise CryptoError(PLACE, f"format {form!r}", ", ".join(FORMATS))
    bound = b"" if binding is None else binding.encode()
    packets: list[bytes] = []
    for key, secret in secrets:
        packets.append(chosen.wrap(secret, key, random, packets[0] if packets else None, bound))
    labels = {chosen.owner(packet) for packet in packets}
    if not packets or len(labels) != len(packets):
        raise CryptoError(
            PLACE, f"{len(packets)} packets for {len(labels)} users", "one for each, and one user"
        )
    return chosen.encode(packets)


def wrap(
    form: str,
    file_key: FileKey,
    keys: Iterable[UserKey | PublicKey],
    random: Random,
    binding: Binding | None = None,
) -> bytes:
    """Return the xattr that holds a file's key for each of some users; errors as `wrap_secrets`."""
    return wrap_secrets(form, ((key, file_key) for key in keys), random, binding)


def unwrap(raw: bytes, user: UserKey | Sequence[UserKey], place: str = PLACE) -> FileKey:
    """
    Return the key of a file for a user, or for several who put their shares together.

    Raises CryptoError, naming `place`: "ENOKEY" if no packet is for the key or there are too few shares,
    else what is wrong with the packet. Never returns a wrong key.
    """
    keys = [user] if isinstance(user, UserKey) else list(user)
    form = format_of(raw, place)
    shares: list[Share] = []
    for key in keys:
        packet = form.find(raw, key, place)
        if packet is None:
            continue
        secret = form.unwrap(packet, key, place)
        if isinstance(secret, FileKey):
            return secret
        shares.append(secret)
    if not shares:
        names = ", ".join(key.user for key in keys) or "nobody"
        raise CryptoError(place, f"ENOKEY: no wrapped key for {names}", "a user the file is shared with")
    return join_shares(shares, place)


def secret_of(raw: bytes, keys: Sequence[UserKey], place: str = PLACE) -> Secret | None:
    """
    Return what the packets of these keys hold: the file's key if one of them has it whole, else a share.

    None if no packet is for any of them. Raises CryptoError as `unwrap` does for a packet that is damaged.
    """
    form = format_of(raw, place)
    secret: Secret | None = None
    for key in keys:
        packet = form.find(raw, key, place)
        if packet is not None:
            secret = form.unwrap(packet, key, place)
            if isinstance(secret, FileKey):
                break
    return secret


def add_user(
    raw: bytes,
    opener: UserKey | Sequence[UserKey],
    new: UserKey | PublicKey,
    random: Random,
    place: str = PLACE,
    *,
    mode: int | None = None,
) -> bytes:
    """
    Return the xattr with one user more; `opener` is one who can read the file, or all the keys they hold.

    mode: what the key must be for, so that no other key is handed on that someone has put here. Raises
    CryptoError as `unwrap` does, if the new user is there already, and if the key is kept in shares (then
    another user needs a new split of it: `wrap_secrets` with a policy).
    """
    form = format_of(raw, place)
    openers = [opener] if isinstance(opener, UserKey) else list(opener)
    names = ", ".join(key.user for key in openers)
    secret = secret_of(raw, openers, place)
    if secret is None:
        raise CryptoError(place, f"ENOKEY: no wrapped key for {names}", "a user the file is shared with")
    if isinstance(secret, Share):
        raise CryptoError(place, f"{names} has a share of the key", "a new split for other users")
    if mode is not None and secret.mode != mode:
        raise CryptoError(place, f"EIO: holds a key of mode {secret.mode}", f"{mode}")
    packets = form.decode(raw, place)
    if form.label(new) in map(form.owner, packets):
        raise CryptoError(place, f"is wrapped for {new.user} already", "a new user")
    return form.encode([*packets, form.wrap(secret, new, random, packets[0])])


def remove_user(raw: bytes, label: str, place: str = PLACE) -> bytes:
    """
    Return the xattr without a user: an id (aes-kw) or the signature of a key (rfc2014), as `owners` tells it.

    No key is needed. See REMOVAL_NOTE for what this cannot undo. Raises CryptoError if the user is not there
    or is the last, if fewer shares would be left than are needed, and for a share in a set of an older
    version, which does not tell how many those are (one of rfc2014 does not even tell that it has shares).
    """
    form = format_of(raw, place)
    packets = form.decode(raw, place)
    rest = [packet for packet in packets if form.owner(packet) != label]
    if len(rest) == len(packets):
        raise CryptoError(place, f"has no wrapped key for {label}", ", ".join(map(form.owner, packets[:20])))
    if not rest:
        raise CryptoError(place, f"{label} is the last user", "another user first, or shred the file")
    _check_shares(form, packets, rest, label, place)
    return form.encode(rest)


def _check_shares(form: Format, packets: list[bytes], rest: list[bytes], label: str, place: str) -> None:
    """Raise CryptoError if what is removed is a share that is needed."""
    had = sum(bool(form.is_share(packet)) for packet in packets)
    left = sum(bool(form.is_share(packet)) for packet in rest)
    if left == had:
        return
    bound = form.record(packets[0])
    if not bound:
        raise CryptoError(
            place,
            f"{label} has a share, and a set of this version does not tell how many are needed",
            "rekey, which makes a new split",
        )
    needed = parse_binding(bound, place).needed
    if left < needed:
        raise CryptoError(
            place,
            f"without {label} there are {left} shares, and {needed} are needed",
            "rekey with other users, or shred the file",
        )


def secret_parts(raw: bytes, place: str = PLACE) -> list[bytes]:
    """Return what of a set must be gone, wherever it lies, for its keys to be gone."""
    form = format_of(raw, place)
    return [form.secret_part(packet) for packet in form.decode(raw, place)]


def clobbered(raw: bytes) -> bytes:
    """
    Return what is left of a set when its keys are shredded: as many bytes, the first as it was, then zeros.
    """
    return raw[:1].ljust(len(raw), b"\0")


class KeyRing:
    """
    The keys that someone holds: their own, those of groups they could open, and others' public ones.

    Its repr tells users, never keys. Iterating over it gives the secret ones.
    """

    def __init__(self, keys: Iterable[UserKey | PublicKey] = ()) -> None:
        self._keys: dict[str, UserKey] = {}
        self._public: dict[str, PublicKey] = {}
        for key in keys:
            self.add(key)

    def __repr__(self) -> str:
        return f"KeyRing({sorted(self._keys)})"

    def __iter__(self) -> Iterator[UserKey]:
        return iter(self._keys.values())

    def add(self, key: UserKey | PublicKey) -> None:
        """Put a key on the ring; CryptoError if another one of the same name is there."""
        if isinstance(key, PublicKey):
            held_public = self._public.setdefault(key.user, key)
            if not hmac.compare_digest(held_public.raw, key.raw):
                raise CryptoError("key ring", f"two public keys of {key.user}", "one key for each user")
            return
        held = self._keys.get(key.user)
        if held is not None and not hmac.compare_digest(held.raw, key.raw):
            raise CryptoError("key ring", f"two keys of {key.user}", "one key for each user")
        self._keys[key.user] = key

    def key(self, user: str) -> UserKey:
        """Return a user's key; CryptoError (ENOKEY) if the ring has none."""
        try:
            return self._keys[user]
        except KeyError:
            raise CryptoError(
                "key ring", f"ENOKEY: no key of user {user}", ", ".join(sorted(self._keys))
            ) from None

    def recipient(self, user: str) -> UserKey | PublicKey:
        """Return a key with which something can be wrapped for a user; CryptoError (ENOKEY) without one."""
        return self._public[user] if user not in self._keys and user in self._public else self.key(user)

    def by_label(self, form: Format) -> dict[str, UserKey | PublicKey]:
        """Return the keys to wrap with, by what a format says of a packet for them; public ones by user."""
        return {**self._public, **{form.label(key): key for key in self._keys.values()}}

    def add_group(self, group: str, raw: bytes, members: str | Sequence[str]) -> None:
        """
        Open a group's key, wrapped for its members as a file's is, and put it on the ring.

        Raises CryptoError as `unwrap` does, and if what is wrapped is no group's key.
        """
        opened = self.unwrap(raw, members, f"group {group}")
        if opened.mode != MODE_GROUP_KEY or not group.startswith(GROUP_MARK):
            raise CryptoError(
                f"group {group}", f"holds a key of mode {opened.mode}", f"{MODE_GROUP_KEY}, {GROUP_MARK}name"
            )
        self.add(UserKey(group, opened.raw))

    def unwrap(self, raw: bytes, user: str | Sequence[str], place: str = PLACE) -> FileKey:
        """
        Return the key of a file for a user, several with shares, or a group whose key is on the ring.

        Raises CryptoError as the function `unwrap` does.
        """
        names = [user] if isinstance(user, str) else list(user)
        return unwrap(raw, [self.key(name) for name in names], place)
