"""
A new key for a file: its data encrypted anew, so that who kept the old key reads nothing that is here.

Left out: old copies of blocks and packets, in the image's free blocks, its journal and outside (`scrub`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sim.crypto.keys.file_keys import KeyRing, binding_of, format_of, secret_of
from sim.crypto.keys.packet_format import Format
from sim.crypto.keys.policies import AnyOf, KOfN, wrap_by_policy
from sim.crypto.keys.user_keys import GROUP_MARK
from sim.crypto.keys.wrapped import FileKey, Secret, Share
from sim.crypto.streams import Random
from sim.errors import CryptoError
from sim.ext4.edit.editor import ImageEditor
from sim.volume.bound_keys import new_binding
from sim.volume.keyed_groups import must_be_trusted
from sim.volume.keyed_image import open_file, put_contents


def rekey(
    editor: ImageEditor,
    path: str,
    ring: KeyRing,
    openers: Sequence[str],
    random: Random,
    *,
    without: Collection[str] = (),
    form: str | None = None,
    mode: int | None = None,
    moved: bool = False,
) -> list[str]:
    """
    Encrypt a file under a new key, wrapped for those who have it now; return them.

    ring: the keys of the openers, of their groups, and a key to wrap with (a public one will do) of everyone
    else. without: who is left out. form, mode: None for what they are. moved: the file may have another name
    than its keys were made for; they are then bound to this one. Raises CryptoError, naming who it is, for
    someone without a key, and if too few would be left to open the file.
    """
    inode = editor.image.lookup(path)
    opened = open_file(editor.image, inode, ring, openers, path, moved=moved)
    people = _people(editor, opened.raw, ring, without, openers, inode.place)
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
class _People:
    """
    Those who have a file's key, as a policy.

    whole: who has it alone. shares: who have shares, of which `needed` are needed. ring: a key of each.
    """

    form: Format
    whole: list[str]
    shares: list[str]
    needed: int
    ring: KeyRing

    def secrets(self, key: FileKey, random: Random) -> list[tuple[str, Secret]]:
        """Return a packet for each."""
        shares = KOfN(self.needed, self.shares).secrets(key, random) if self.shares else []
        return [*AnyOf(self.whole).secrets(key, random), *shares]


def _people(
    editor: ImageEditor,
    raw: bytes,
    ring: KeyRing,
    without: Collection[str],
    openers: Sequence[str],
    place: str,
) -> _People:
    """Return who has the key, without some; CryptoError for one of whom there is no key."""
    form = format_of(raw, place)
    found = _People(form, [], [], _needed(form, raw, ring, openers, place), KeyRing())
    left_out = set[str]()
    for packet in form.decode(raw, place):
        label = form.owner(packet)
        if label in without:
            left_out.add(label)
            continue
        try:
            key = ring.labelled(form, label)
        except CryptoError:
            raise CryptoError(
                place, f"ENOKEY: no key to wrap for {label}", f"a key of {label}, or --without {label}"
            ) from None
        if key.user in without:
            left_out.add(key.user)
            continue
        if key.user.startswith(GROUP_MARK):
            _must_be_trusted(editor, key.user, ring, openers)
        found.ring.add(key)
        (found.shares if form.is_share(packet) else found.whole).append(key.user)
    for user in without:
        if user not in left_out:
            raise CryptoError(
                place, f"has no wrapped key for {user}", ", ".join([*found.whole, *found.shares])
            )
    if not found.whole and len(found.shares) < max(found.needed, 1):
        raise CryptoError(
            place, f"{len(found.shares)} would be left, and {max(found.needed, 1)} are needed", "more users"
        )
    return found


def _needed(form: Format, raw: bytes, ring: KeyRing, openers: Sequence[str], place: str) -> int:
    """Return how many shares are needed, 0 for none; CryptoError if the set does not tell who has one."""
    binding = binding_of(raw, place)
    if binding is not None:
        return binding.needed
    held = secret_of(raw, [ring.key(user) for user in openers], place)
    if not isinstance(held, Share):
        return 0
    if any(form.is_share(packet) is None for packet in form.decode(raw, place)):
        raise CryptoError(
            place, "a set of this version does not tell who has a share", "a new file, encrypted"
        )
    return held.needed


def _must_be_trusted(editor: ImageEditor, group: str, ring: KeyRing, openers: Sequence[str]) -> None:
    """Raise CryptoError unless one of the openers knows that the group's key is the group's."""
    errors = []
    for user in openers:
        try:
            must_be_trusted(editor.image, group, ring.key(user))
        except CryptoError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
