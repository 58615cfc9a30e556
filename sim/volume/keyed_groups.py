"""
Groups on an ext4 image: a key of each, wrapped for its members.

    xattr 4 "readpath.group.<name>" of the root       the wrapped keys, as a file has them in "k"

A file wrapped for a group has one packet, under the group's key; who joins or leaves changes the packets
here and no file's. A set is bound to the group's name. One put in another's place is an error, and nothing is
handed on, nor wrapped for a group, on the word of a set that anyone could have made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sim.crypto.keys.file_keys import KeyRing, UserKey, add_user, format_of, owners, remove_user, secret_parts
from sim.crypto.keys.packet_format import Format
from sim.crypto.keys.user_keys import GROUP_MARK, PublicKey
from sim.crypto.keys.wrapped import MODE_GROUP_KEY
from sim.crypto.streams import Random
from sim.errors import CryptoError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.format.xattr import INDEX_TRUSTED, XattrKey
from sim.ext4.read.reader import Image, Inode
from sim.volume.bound_keys import check_group, must_be_bound

GROUP_PREFIX = b"readpath.group."


def make_group(editor: ImageEditor, group: str, raw: bytes) -> None:
    """
    Keep a new group's key, wrapped for its members, in the root directory.

    Raises CryptoError for a bad name, and for a group that is there: its files would be lost with its key.
    """
    name = _group_name(group)
    root = editor.image.lookup("/")
    if name in root.xattrs:
        raise CryptoError(root.place, f"has a group {group} already", "a new name, or --as to add members")
    editor.set_xattrs(root.number, {**root.xattrs, name: raw})


def join_group(
    editor: ImageEditor,
    group: str,
    opener: UserKey,
    new: Sequence[UserKey | PublicKey],
    random: Random,
) -> None:
    """Wrap a group's key for more members; `opener` is one. CryptoError as file_keys.add_user."""
    root, raw = _group(editor, group)
    trusted_group_key(editor.image, group, [opener])
    for key in new:
        raw = add_user(raw, opener, key, random, f"group {group}", mode=MODE_GROUP_KEY)
    editor.set_xattrs(root.number, {**root.xattrs, _group_name(group): raw})


def trusted_group_key(image: Image, group: str, members: Sequence[UserKey]) -> UserKey:
    """
    Return a group's key as one of some members opens it who can tell that a holder of a secret key made it.

    That is so in a set that is bound to the group, where the key is wrapped under the member's own key. One
    that is wrapped for their public key can be of anybody's making, who would then read what is wrapped for
    the group. Raises CryptoError if no member can tell, with ENOKEY if none of them is one.
    """
    raw, place = group_keys(image, group), f"group {group}"
    must_be_bound(check_group(image, group, raw), place, "a new group")
    form, doubted = format_of(raw, place), list[str]()
    for member in members:
        packet = form.find(raw, member, place)
        if packet is not None and not form.is_public(packet):
            own = KeyRing([member])
            own.add_group(group, raw, member.user)
            return own.key(group)
        if packet is not None:
            doubted.append(member.user)
    if doubted:
        raise CryptoError(
            place,
            f"its key was wrapped for the public key of {', '.join(doubted)}: anyone can have made it",
            "to read with; another member, whose own key opens it, to write",
        )
    names = ", ".join(member.user for member in members[:20]) or "nobody"
    raise CryptoError(place, f"ENOKEY: no wrapped key for {names}", "a member of the group (--as)")


def leave_group(editor: ImageEditor, group: str, label: str) -> int:
    """
    Take a member's wrapped key from a group, and what the journal holds of it; return how many bytes.

    The key itself stays what it was: who has kept it opens the group's files. label: as for `unshare`.
    """
    root, old = _group(editor, group)
    new = remove_user(old, label, f"group {group}")
    editor.exchange_xattrs(root.number, {**root.xattrs, _group_name(group): new})
    return editor.wipe_copies(set(secret_parts(old)) - set(secret_parts(new)))


def group_keys(image: Image, group: str) -> bytes:
    """Return a group's wrapped keys; CryptoError if there is no such group."""
    raw = image.lookup("/").xattrs.get(_group_name(group))
    if raw is None:
        raise CryptoError(f"{image.name}: /", f"has no group {group}", "a group of this image")
    return raw


def group_format(image: Image, group: str) -> Format:
    """Return the format in which a group's key is wrapped; CryptoError if there is no such group."""
    return format_of(group_keys(image, group), f"group {group}")


def _group(editor: ImageEditor, group: str) -> tuple[Inode, bytes]:
    raw = group_keys(editor.image, group)
    format_of(raw, f"group {group}")
    return editor.image.lookup("/"), raw


def _group_name(group: str) -> XattrKey:
    if not group.startswith(GROUP_MARK) or not group[1:].isidentifier():
        raise CryptoError("group", f"{group!r}", f"{GROUP_MARK}name")
    return INDEX_TRUSTED, GROUP_PREFIX + group[1:].encode()


def group_members(image: Image) -> dict[str, list[str]]:
    """Return whom each group's key is wrapped for, as anyone can tell; nobody where that is damaged."""
    members = {}
    for group, raw in _groups(image):
        try:
            members[group] = owners(raw, f"group {group}")
        except CryptoError:
            members[group] = []
    return members


def _groups(image: Image) -> Iterator[tuple[str, bytes]]:
    for (index, name), raw in image.lookup("/").xattrs.items():
        if index == INDEX_TRUSTED and name.startswith(GROUP_PREFIX):
            yield GROUP_MARK + name[len(GROUP_PREFIX) :].decode("utf-8", "replace"), raw


def open_groups(image: Image, ring: KeyRing, users: str | Sequence[str], *, moved: bool = False) -> list[str]:
    """
    Put every group's key that these users can open on the ring; return the groups.

    moved: the file system may have another UUID than the keys were made for. Raises CryptoError for a set
    that is damaged or was made for another group.
    """
    opened = []
    for group, raw in _groups(image):
        check_group(image, group, raw, moved=moved)
        try:
            ring.add_group(group, raw, users)
        except CryptoError as error:
            if "ENOKEY" not in error.problem:
                raise
            continue
        opened.append(group)
    return opened
