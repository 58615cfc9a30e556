"""
What a check has found: problems, and notes that are no damage.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_PROBLEMS = 1000
"""A wrecked image is not told about for ever."""


class EnoughError(Exception):
    """The list of problems is full, or nothing more can be looked at."""


@dataclass
class Findings:
    """
    problems: damage, a line each. notes: what e2fsck, too, tells or mends without calling the image damaged.
    unclean: the notes that are a reason not to write to the image. unchecked: what this check leaves out.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unclean: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def say(self, place: str, problem: str) -> None:
        """Tell a problem; raise EnoughError when there are too many."""
        self.problems.append(f"{place}: {problem}")
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.append("and more")
            raise EnoughError

    def expect(self, place: str, holds: object, problem: str) -> None:
        """Tell a problem unless something holds."""
        if not holds:
            self.say(place, problem)

    def note(self, place: str, text: str) -> None:
        """Tell what is no damage."""
        if len(self.notes) < MAX_PROBLEMS:
            self.notes.append(f"{place}: {text}")

    def compare(self, place: str, what: str, said: int, counted: int) -> None:
        """Tell a count that is not what was counted."""
        if said != counted:
            self.say(place, f"{said} {what} are recorded, {counted} counted")
