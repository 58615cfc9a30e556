"""
Giving an image tags, keeping them up when a block is written, and checking its data by them.
"""

from __future__ import annotations

from dataclasses import replace

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.inode import ROOT_INODE
from sim.ext4.read.reader import Image
from sim.integrity.extents import check_lists, write_lists
from sim.integrity.findings import PLAN, Bad, Checked
from sim.integrity.plan import PLAN_KEY, Plan, plan_of
from sim.integrity.tables import check_table, make_table, write_table
from sim.integrity.tagger import Secrets, Tagger
from sim.integrity.verity import check_trees, write_trees


def keyed_files(image: Image, secrets: Secrets) -> frozenset[int]:
    """Return the inodes whose tags are under files' own keys: the encrypted ones, and those of `secrets`."""
    found = {inode.number for _path, inode in image.walk() if inode.is_encrypted and inode.is_regular}
    return frozenset(found | set(secrets.files))


def protect(editor: FileEditor, plan: Plan, secrets: Secrets) -> Tagger:
    """
    Give an image the tags of a plan, or bring up to date those it has; return what made them.

    All of the image is read and hashed. An algorithm with a counter needs a key that no other tags of this
    image were made with. Raises ImageError for an image with tags of another plan, and without the keys.
    """
    had = plan_of(editor.image, secrets.volume if editor_has_plan(editor) else b"")
    if had is not None and replace(had, table_inode=0) != replace(plan, table_inode=0):
        raise ImageError(editor.image.name, "has tags of another plan", "an image without, or the same plan")
    tagger = Tagger(plan, editor.image.uuid, secrets, keyed_files(editor.image, secrets))
    needed = {0, *keyed_files(editor.image, secrets)}
    without = sorted(number for number in needed if not tagger.can_judge(number))
    if without:
        what = "the volume" if without[0] == 0 else f"inode {without[0]}"
        raise ImageError(editor.image.name, f"no key of {what}", f"keys for {plan.scheme.name}")
    if plan.is_table:
        plan = replace(plan, table_inode=make_table(editor, plan, 0 if had is None else had.table_inode))
    tagger.plan = plan
    root = editor.image.inode(ROOT_INODE)
    said = plan.encode(secrets.volume)
    if root.xattrs.get(PLAN_KEY) != said:
        editor.set_xattrs(ROOT_INODE, {**root.xattrs, PLAN_KEY: said})
    if plan.is_list:
        write_lists(editor, plan, tagger, fresh=had is None)
    elif plan.layout == "merkle":
        write_trees(editor, tagger)
    editor.settle()
    if plan.is_table:
        write_table(editor, plan, tagger, fresh=had is None)
    return tagger


def plan_under(editor: FileEditor, secrets: Secrets) -> Plan:
    """Return the plan of an image's tags; ImageError if it has none."""
    plan = plan_of(editor.image, secrets.volume)
    if plan is None:
        raise ImageError(editor.image.name, "has no tags", "an image that was given some")
    return plan


def editor_has_plan(editor: FileEditor) -> bool:
    """Return whether the image under an editor says what its tags are."""
    return PLAN_KEY in editor.image.inode(ROOT_INODE).xattrs


def check_data(image: Image, secrets: Secrets) -> Checked | None:
    """
    Hold the data of an image against its tags, as far as the keys allow; None if it has none.

    What the image says of its tags is a finding if it cannot be believed (PLAN); then nothing else is looked
    at. Damage of the metadata that leads to the data is an ImageError.
    """
    try:
        plan = plan_of(image, secrets.volume)
        if plan is None:
            return None
        tagger = Tagger(plan, image.uuid, secrets, keyed_files(image, secrets))
        if plan.is_table:
            image.inode(plan.table_inode).tree  # noqa: B018  # what cannot be one is told here
    except ImageError as error:
        text = error.problem.encode()
        return Checked(bad=[Bad(PLAN, "/", ROOT_INODE, None, None, b"", text)])
    if plan.is_table:
        done = check_table(image, plan, tagger)
    elif plan.is_list:
        done = check_lists(image, plan, tagger)
    else:
        done = check_trees(image, tagger)
    done.hashed_bytes = tagger.hashed_bytes
    return done
