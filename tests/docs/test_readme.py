"""README.md says what the committed results, the recordings and the judge say."""

from __future__ import annotations

import pytest
from of_experiments import RESULTS
from of_folios import FOLIOS
from of_integrity import INTEGRITY
from of_records import RECORDS
from quote import Quote, read_pages, written

ALL = {"experiments": RESULTS, "folios": FOLIOS, "integrity": INTEGRITY, "records": RECORDS}


@pytest.mark.parametrize("quotes", ALL.values(), ids=ALL)
def test_every_number_is_what_its_command_says(quotes: tuple[Quote, ...]) -> None:
    """`make readme` would change nothing."""
    pages = read_pages()
    assert pages == written(pages, quotes)


def test_a_sentence_is_found_by_its_words() -> None:
    """Numbers are written where the fields are, however the lines are broken; other text stays."""
    quote = Quote("costs {:.1f} us, {:,.0f} times (as\nmuch)", lambda: [2.04, 1234])
    quote = quote._replace(text=quote.text.replace("\n", " "))
    text = "It costs 1.5\nus, 7 times\n  (as much), it costs nothing."
    other = "nothing of it"
    assert written([other, text], [quote])[0] == other
    assert (
        written([other, text], [quote])[1] == "It costs 2.0\nus, 1,234 times\n  (as much), it costs nothing."
    )


@pytest.mark.parametrize("text", ["", "a 1 b a 2 b"])
def test_a_sentence_that_is_lost_or_there_twice_is_an_error(text: str) -> None:
    """Never left out in silence."""
    with pytest.raises(ValueError, match=r"times: a \{\} b"):
        written([text], [Quote("a {} b", lambda: [1])])


def test_lines_are_short_enough_to_read() -> None:
    """100 columns, but for commands, rows of tables and the addresses of pictures."""
    lines = [line for page in read_pages() for line in page.splitlines()]
    assert [] == [line for line in lines if len(line) > 100 and not line.startswith(("    ", "|", "!["))]
