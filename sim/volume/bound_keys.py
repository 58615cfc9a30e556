"""
Wrapped keys and the place in an image that they belong to: a file by its path, a group by its name.

Who can write to an image can move xattrs, names and inodes about, and have an honest user hand on the wrong
key. So a set says what it is for, and that is compared with where it lies before anything is opened with it.
"""

from __future__ import annotations

from sim.crypto.keys.binding import FOR_FILE, FOR_GROUP, NO_NAME, Binding, name_digest
from sim.crypto.keys.file_keys import binding_of
from sim.crypto.streams import Random
from sim.errors import CryptoError, ImageError
from sim.ext4.read.reader import Image, Inode, shown_name

UNBOUND = "its wrapped keys are of an older version and bound to no file; they open, and are not handed on"


def true_name(image: Image, path: str) -> bytes:
    """
    Return the one name of a path: as it lies in the directories, from the root, without "." and "..".

    Names in encrypted directories are given as they are shown, and taken as ciphertext. Raises ImageError.
    """
    trail = [(image.lookup("/"), b"")]
    for part in path.split("/"):
        directory = trail[-1][0]
        if part in ("", "."):
            continue
        if part == "..":
            del trail[max(len(trail) - 1, 1) :]  # the root is above itself
            continue
        for number, name, _type in image.entries(directory):
            if part in (shown_name(name, directory.is_encrypted), image.shown(directory, name)):
                trail.append((image.inode(number), name))
                break
        else:
            raise ImageError(f"{image.name}: {path}", f"there is no {part!r}", "a path in the image")
    return b"/" + b"/".join(name for _inode, name in trail[1:])


def new_binding(image: Image, path: str, random: Random) -> Binding:
    """
    Return what the keys of a file are to be bound to.

    A file with several names (hard links) is bound to none of them, and to its inode.
    """
    inode = image.lookup(path)
    name = true_name(image, path) if inode.raw.links == 1 else None
    return Binding.new(FOR_FILE, image.uuid, inode.raw.generation, name, random, inode=inode.number)


def new_group_binding(image: Image, group: str, random: Random) -> Binding:
    """Return what the keys of a group are to be bound to."""
    return Binding.new(FOR_GROUP, image.uuid, 0, group.encode(), random)


def check_file(
    image: Image, inode: Inode, raw: bytes, path: str | None, *, moved: bool = False
) -> Binding | None:
    """
    Return what a file's wrapped keys are bound to, None for nothing; CryptoError if that is another place.

    path: where the file was found; None leaves its name out. moved: any place will do.
    """
    binding = binding_of(raw, inode.place)
    if binding is not None:
        name = NO_NAME if path is None else name_digest(true_name(image, path))
        here = Binding(FOR_FILE, image.uuid, inode.raw.generation, name, binding.id, inode=inode.number)
        binding.check(here, inode.place, moved=moved)
    return binding


def check_group(image: Image, group: str, raw: bytes, *, moved: bool = False) -> Binding | None:
    """
    Return what a group's wrapped keys are bound to, None for nothing; errors as `check_file`.

    moved: any file system will do, but no other group.
    """
    place = f"group {group}"
    binding = binding_of(raw, place)
    if binding is not None:
        filesystem = binding.filesystem if moved else image.uuid
        here = Binding(FOR_GROUP, filesystem, 0, name_digest(group.encode()), binding.id)
        binding.check(here, place)
    return binding


def must_be_bound(binding: Binding | None, place: str, instead: str) -> Binding:
    """Return a binding; CryptoError, which allows `instead`, if there is none."""
    if binding is None:
        raise CryptoError(place, UNBOUND, instead)
    return binding
