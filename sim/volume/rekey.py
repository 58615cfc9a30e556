"""
A new key for a file: its data encrypted anew, so that who kept the old key reads nothing that is here.

Who can write to the image can put anyone's packet into a file's set, their own too and one that was taken
away, and can make a share look like the whole key. So the set says whom to ask about, and not who gets the
new key: that are the openers, whose packets open, and those who are named.

Left out: old copies of blocks and packets, in the image's free blocks, its journal and outside (`scrub`).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from sim.crypto.keys.binding import Binding
from sim.crypto.keys.file_keys import KeyRing, format_of, secret_of
from sim.crypto.keys.packet_format import Format
from sim.crypto.keys.policies import AnyOf, KOfN, wrap_by_policy
from sim.crypto.keys.user_keys import GROUP_MARK, PublicKey, UserKey
from sim.crypto.keys.wrapped import FileKey, Secret, Share
from sim.crypto.streams import Random
from sim.errors import CryptoError
from sim.ext4.edit.editor import ImageEditor
from sim.volume.bound_keys import new_binding
from sim.volume.keyed_groups import trusted_group_key
from sim.volume.keyed_image import OpenedFile, open_file, put_contents

_NAMES_SHOWN = 20
_NAME_THEM = "--keep or --without for each of them"


def rekey(
    editor: ImageEditor,
    path: str,
    ring: KeyRing,
    openers: Sequence[str],
    random: Random,
    *,
    keep: Collection[str] = (),
    escrow: Collection[str] = (),
    without: Collection[str] = (),
    form: str | None = None,
    mode: int | None = None,
    moved: bool = False,
) -> list[str]:
    """
    Encrypt a file under a new key, wrapped for its openers and for those who are kept; return them.

    ring: the keys of the openers, of their groups, and a key to wrap with (a public one will do) of everyone
    who is kept. keep: who gets what the set says they have; escrow: who gets all of the key, also where
    others have shares; without: who is left out. form, mode: None for what they are. moved: the file may have
    another name than its keys were made for; they are then bound to this one. Raises CryptoError, naming who
    it is, for someone in the set who is none of these, for someone named who is not in the set or has no key
    on the ring, and if too few would be left to open the file.
    """
    inode = editor.image.lookup(path)
    opened = open_file(editor.image, inode, ring, openers, path, moved=moved)
    said = _Said(openers, keep, escrow, without)
    people = _people(editor, opened, ring, said, inode.place)
    key = FileKey.generate(random, opened.key.mode if mode is None else mode)
    binding = new_binding(editor.image, path, random)
    wrapped = wrap_by_policy(form or people.form.NAME, key, people, people.ring, random, binding)
    put_contents(
        editor,
        path,
        key,
        wrapped,
        binding,
        lambda block, stored: opened.contents.decrypt_blocks(stored, block),
    )
    return [*people.whole, *people.shares]


@dataclass(frozen=True, slots=True)
class _Said:
    """Whom whoever runs the verb has named; see `rekey`."""

    openers: Sequence[str]
    keep: Collection[str]
    escrow: Collection[str]
    without: Collection[str]

    def chosen(
        self, form: Format, packets: Sequence[bytes], ring: KeyRing, place: str
    ) -> list[tuple[UserKey | PublicKey, bytes]]:
        """
        Return a key and the old packet of each who gets a new one.

        Raises CryptoError for those in a set who are not named, and those named who are not in it.
        """
        by_label, chosen = ring.by_label(form), list[tuple[UserKey | PublicKey, bytes]]()
        met, unnamed, keyless = set[str](), list[str](), list[str]()
        for packet in packets:
            label = form.owner(packet)
            key = by_label.get(label)
            user = label if key is None else key.user
            met |= {user, label}
            if user in self.without or label in self.without:
                continue
            if user not in (*self.openers, *self.keep, *self.escrow):
                unnamed.append(user)
            elif key is None:
                keyless.append(user)
            else:
                chosen.append((key, packet))
        for problem, users, allowed in (
            ("is wrapped for {} too, as whoever writes to the image can have made it", unnamed, _NAME_THEM),
            ("ENOKEY: no key to wrap for {}", keyless, "a key of each"),
            (
                "has no wrapped key for {}",
                [user for user in (*self.keep, *self.escrow, *self.without) if user not in met],
                ", ".join(sorted(met)[:_NAMES_SHOWN]),
            ),
        ):
            if users:
                raise CryptoError(place, problem.format(", ".join(users[:_NAMES_SHOWN])), allowed)
        return chosen


@dataclass(frozen=True, slots=True)
class _People:
    """
    Those who are to have a file's new key, as a policy.

    whole: who has it alone. shares: who have shares, of which `needed` are needed, None if nothing vouches
    for a number. ring: a key of each.
    """

    form: Format
    needed: int | None
    whole: list[str] = field(default_factory=list)
    shares: list[str] = field(default_factory=list)
    ring: KeyRing = field(default_factory=KeyRing)

    def secrets(self, key: FileKey, random: Random) -> list[tuple[str, Secret]]:
        """Return a packet for each."""
        shares = KOfN(self.needed or 0, self.shares).secrets(key, random) if self.shares else []
        return [*AnyOf(self.whole).secrets(key, random), *shares]


def _people(editor: ImageEditor, opened: OpenedFile, ring: KeyRing, said: _Said, place: str) -> _People:
    """Return who gets a new key; errors as `rekey`."""
    form, known = format_of(opened.raw, place), [ring.key(user) for user in said.openers]
    held = {key.user: _held(opened, key, place) for key in known}
    found = _People(form, _needed(opened.binding, held.values()))
    for key, packet in said.chosen(form, form.decode(opened.raw, place), ring, place):
        user = key.user
        if user.startswith(GROUP_MARK):
            key = trusted_group_key(editor.image, user, known)
            held[user] = _held(opened, key, place)
        alone = user in said.escrow or _has_it_alone(found.needed, held.get(user), form.is_share(packet))
        if alone is None:
            raise CryptoError(
                place,
                f"nothing vouches for what {user} has, all of the key or a share of it",
                f"--as {user}, --escrow {user} (all of it), --without {user}",
            )
        found.ring.add(key)
        (found.whole if alone else found.shares).append(user)
    if not found.whole and len(found.shares) < (found.needed or 1):
        raise CryptoError(
            place, f"{len(found.shares)} would be left, and {found.needed or 1} are needed", "more users"
        )
    return found


def _held(opened: OpenedFile, key: UserKey, place: str) -> Secret | None:
    """
    Return what an opener, or a group of theirs, has of the file's key; None for nothing.

    CryptoError if it is another key.
    """
    secret = secret_of(opened.raw, [key], place)
    if secret is not None:
        check = secret.check if isinstance(secret, Share) else secret.check()
        if not hmac.compare_digest(check, opened.key.check()):
            raise CryptoError(
                place, f"EIO: what is wrapped for {key.user} is not the file's key", "the file's own"
            )
    return secret


def _needed(binding: Binding | None, held: Iterable[Secret | None]) -> int | None:
    """
    Return how many shares are needed, 0 for none: by what the set is bound to, or the shares that opened it.

    None for a set of an older version that was opened by someone who has all of the key.
    """
    if binding is not None:
        return binding.needed
    secrets = [secret for secret in held if secret is not None]
    shares = [secret for secret in secrets if isinstance(secret, Share)]
    return shares[0].needed if shares and len(shares) == len(secrets) else None


def _has_it_alone(needed: int | None, held: Secret | None, is_share: bool | None) -> bool | None:
    """
    Return whether a user has all of the key and no share; None if nothing vouches for either.

    held: what the user's own key has opened; is_share: what the packet says, which is believed where it says
    the less. A set that needs no shares has none.
    """
    if needed == 0 or isinstance(held, FileKey):
        return True
    return False if needed and (held is not None or is_share) else None
