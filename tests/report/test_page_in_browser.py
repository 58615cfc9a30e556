"""The report in a browser: it loads, sorts, filters, zooms, prints; light, dark, on a phone, by keyboard."""

from __future__ import annotations

import base64
import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, emulate, narrow, open_page
from traced_kit import READS, traced

from sim.claims.claims import load_claims
from sim.experiment.results import Run, load_run
from sim.report.html.document import report
from sim.report.tables import difference, symbols

ROOT = Path(__file__).parents[2]
MAIN = "per_block_vs_per_extent"
WHERE = {"encryption.scheme": "none", "volume.block_size": "1KiB", "volume.files.layout": "contiguous"}


@pytest.fixture(scope="module")
def run() -> Run:
    """The committed main experiment."""
    return load_run(ROOT / "results" / "reference" / MAIN)


@pytest.fixture(scope="module")
def browser() -> Any:
    """One browser for all tests."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(run, request, tmp_path_factory) -> Path:
    """The report of the main experiment; only where there is a browser to look at it."""
    request.getfixturevalue("browser")
    claims = load_claims(ROOT / "experiments" / "claims")[MAIN]
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(report([run], [claims]), encoding="utf-8")
    return file


@pytest.fixture
def opened(browser, page) -> Any:
    """The page, as it is when it is opened."""
    open_page(browser, page)
    return browser


def texts(browser: Any, table: str) -> list[list[str]]:
    """Return the rows that a table shows."""
    return browser.execute_script(
        "return [...document.querySelector(arguments[0]).tBodies[0].rows].filter((row) => !row.hidden)"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))",
        table,
    )


def press(browser: Any, selector: str, text: str) -> None:
    """Press the button with a text."""
    script = (
        "[...document.querySelectorAll(arguments[0])].find((one) => one.textContent === arguments[1]).click()"
    )
    browser.execute_script(script, selector, text)


def choose(browser: Any, selector: str, label: str) -> None:
    """Choose an option of a select, as a reader does."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    Select(browser.find_element(By.CSS_SELECTOR, selector)).select_by_visible_text(label)


def test_it_loads_in_two_seconds_without_a_word_on_the_console(browser, page):
    """Nothing is requested besides the page; the best of three counts, as tests run beside others."""
    assert page.stat().st_size < 3 << 20
    ready = []
    for _ in range(3):
        open_page(browser, page)
        ready.append(float(browser.execute_script("return document.body.dataset.ready")))
        assert [] == browser.get_log("browser")
        assert [] == browser.execute_script(
            "return performance.getEntriesByType('resource').map((one) => one.name)"
        )
    assert min(ready) < 2000


def test_a_table_sorts_by_numbers_and_by_texts(opened):
    """By cost from the largest, then from the least; the heading says which, to a screen reader too."""
    table = "#cells ~ .data table"
    before = texts(opened, table)
    for wanted, down in (("descending", True), ("ascending", False)):
        press(opened, f"{table} th button", "CPU ns/4K")
        costs = [int(row[4].replace(",", "")) for row in texts(opened, table)]
        assert sorted(costs, reverse=down) == costs
        heads = opened.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.getAttribute('aria-sort'))",
            f"{table} thead th",
        )
        assert [None] * 4 + [wanted] + [None] * 6 == heads
    press(opened, f"{table} th button", "layout")
    layouts = [row[2] for row in texts(opened, table)]
    assert ["1-block extents"] * 20 + ["4 KiB extents"] * 20 + ["16 KiB extents"] * 20 == layouts[:60]
    assert sorted(before) == sorted(texts(opened, table))


def test_a_table_shows_the_rows_that_are_asked_for(opened):
    """By words, all of which must be there, and by a label; it says how many there are."""
    from selenium.webdriver.common.by import By

    controls = "#cells ~ .controls"
    opened.find_element(By.CSS_SELECTOR, f"{controls} input").send_keys("fscrypt CONTIG")
    choose(opened, f"{controls} label:nth-of-type(5) select", "iomap")
    shown = texts(opened, "#cells ~ .data table")
    assert [["fscrypt-v2", size, "contiguous", "iomap"] for size in ("1KiB", "4KiB")] == [
        row[:4] for row in shown
    ]
    assert "2 of 100 rows" == opened.find_element(By.CSS_SELECTOR, f"{controls} [role=status]").text


def test_the_difference_of_two_cells_is_that_of_readpath_show(opened, run):
    """Symbol by symbol, in ns and in instructions, also of cells that are chosen on the page."""
    for side, currency, word in (("page_io", "ns", None), ("iomap", "instructions", "instructions")):
        choose(opened, "#pickers fieldset:nth-of-type(2) label:nth-of-type(4) select", side)
        if word:
            choose(opened, "#pickers > label select", word)
        expected = difference(run, WHERE, {"path": "buffer_head"}, {"path": side}, currency)
        keys = ("a", "b", "more", "share_instructions", "calls_a", "calls_b")
        rows = {row["symbol"]: [row[key] for key in keys] for row in expected.rows}
        shown = opened.execute_script(
            "return [...document.querySelector('#difference tbody').rows]"
            ".map((row) => [row.cells[0].textContent, [...row.cells].slice(2).map((one) => +one.dataset.v)])"
        )
        assert set(rows) == {symbol for symbol, _values in shown}
        for symbol, values in shown:
            assert rows[symbol] == pytest.approx(values, rel=1e-9, abs=1e-9)
        assert expected.rows[0]["symbol"] == shown[0][0]
    (row,) = [row for row in texts(opened, "#difference table") if row[0] == "ext4_map_blocks"]
    assert ["mapping", "4.000", "0.031"] == [row[1], *row[6:]]
    command = opened.execute_script("return document.getElementById('show-command').textContent")
    assert command.endswith("--diff path=buffer_head path=iomap --currency instructions")


def boxes(browser: Any, side: int) -> dict[str, float]:
    """Return the boxes of a flame graph, by what they say of themselves, with their share of its width."""
    return browser.execute_script(
        "const graph = document.querySelectorAll('.flame')[arguments[0]]; return Object.fromEntries("
        "[...graph.children].map((box) => [box.title, box.offsetWidth / graph.clientWidth]))",
        side,
    )


def test_a_flame_graph_is_as_wide_as_what_it_shows(opened, run):
    """By cost group its boxes say what `symbols` has, and are as wide as their share."""
    choose(opened, "#pickers > label:nth-of-type(2) select", "A, by cost group")
    whole = sum(row["ns_per_4k"] for row in symbols(run, {**WHERE, "path": "buffer_head"}).rows)
    drawn = boxes(opened, 0)
    (everything,) = (width for words, width in drawn.items() if words.startswith("all: "))
    assert everything == pytest.approx(1, abs=0.01)
    assert any(words.startswith(f"all: {whole:,.1f} ns per 4 KiB (100.00 %)") for words in drawn)
    for words, width in drawn.items():
        share = float(words.split("(")[1].split(" %")[0]) / 100
        assert width == pytest.approx(share, abs=0.003), words


def test_a_flame_graph_zooms_and_goes_back(opened):
    """A press makes a box as wide as the graph, in both graphs; the button goes back."""

    def width(name: str) -> list[float]:
        return [
            next(share for words, share in boxes(opened, side).items() if words.startswith(f"{name}: "))
            for side in (0, 1)
        ]

    before = width("filemap_get_pages")
    assert all(share < 0.9 for share in before)
    press(opened, ".flame button", "filemap_get_pages")
    assert width("filemap_get_pages") == pytest.approx([1, 1], abs=0.01)
    assert not any(words.startswith("nvme_irq: ") for words in boxes(opened, 0))
    press(opened, "#pickers button", "Zoom out")
    assert before == width("filemap_get_pages")


def test_a_flame_graph_is_walked_with_the_keyboard(opened):
    """One stop of the Tab key; arrows go from box to box, Enter zooms, Escape goes back; the box is told."""
    from selenium.webdriver import ActionChains, Keys

    def at() -> str:
        return opened.execute_script("return document.activeElement.getAttribute('aria-label')")

    opened.execute_script("document.querySelector('.flame [tabindex=\"0\"]').focus()")
    stops = opened.execute_script("return document.querySelectorAll('.flame [tabindex=\"0\"]').length")
    assert (2, True) == (stops, at().startswith("all: "))
    keys = ActionChains(opened)
    keys.send_keys(Keys.ARROW_UP).perform()
    assert at().startswith("task: ")
    keys.send_keys(Keys.ARROW_LEFT).perform()
    assert at().startswith("irq: ")
    keys.send_keys(Keys.ENTER).perform()
    assert at().startswith("irq: ")
    assert max(share for words, share in boxes(opened, 0).items() if words.startswith("irq: ")) > 0.98
    said = opened.execute_script("return document.getElementById('flame-said').textContent")
    assert said == at()
    keys.send_keys(Keys.ESCAPE).perform()
    assert any(words.startswith("task: ") for words in boxes(opened, 0))


CONTRAST = """
const light = (colour) => {
  const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const behind = (one) => {
  for (; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (!/^rgba.*, 0\\)$/.test(colour)) return colour;
  }
};
const found = [];
for (const one of document.querySelectorAll("body *:not(svg *):not(script):not(style)")) {
  const said = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!said || !one.checkVisibility()) continue;
  const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) found.push([one.tagName, one.className, one.textContent.slice(0, 40), ratio]);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out(opened, scheme):
    """Against what is behind it, 4.5 to 1 as WCAG's AA asks for, in either colour scheme."""
    emulate(opened, scheme)
    assert [] == opened.execute_script(CONTRAST)


def test_the_switch_goes_between_light_and_dark(opened):
    """It begins as the system is, and tells which is on."""
    from selenium.webdriver.common.by import By

    def look() -> tuple[str, str]:
        background = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        return background, button.get_attribute("aria-pressed")

    button = opened.find_element(By.CSS_SELECTOR, "#theme button")
    light = look()
    assert ("rgb(255, 255, 255)", "false") == light
    button.click()
    dark = look()
    assert "true" == dark[1]
    assert light[0] != dark[0]
    button.click()
    assert light == look()
    opened.execute_script("localStorage.clear(); delete document.documentElement.dataset.theme")
    emulate(opened, "dark")
    assert dark == look()


def test_a_phone_shows_it_without_scrolling_sideways(opened):
    """What is wider (tables, figures) scrolls in itself, and can be reached with the keyboard."""
    narrow(opened)
    assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    wide = opened.execute_script(
        "return [...document.querySelectorAll('main *:not(svg *)')]"
        ".filter((one) => one.scrollWidth > one.clientWidth + 1)"
        ".filter((one) => ['auto', 'scroll'].includes(getComputedStyle(one).overflowX))"
        ".map((one) => one.tabIndex)"
    )
    assert len(wide) >= 4
    assert {0} == set(wide)


def test_whoever_cannot_see_it_is_told(opened):
    """All controls, figures and tables have names; headings go down one by one; focus can be seen."""
    nameless = opened.execute_script(
        "const roles = '[role=region], [role=img], [role=group]';"
        "return [...document.querySelectorAll(`input, select, button, ${roles}`)]"
        ".filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length))"
        ".map((one) => one.outerHTML.slice(0, 80))"
    )
    assert [] == nameless
    assert opened.execute_script("return [...document.querySelectorAll('table')].every((one) => one.caption)")
    levels = opened.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3')].map((one) => +one.tagName[1])"
    )
    assert 1 == levels[0]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    from selenium.webdriver import ActionChains, Keys

    ActionChains(opened).send_keys(Keys.TAB).perform()
    said = opened.execute_script(
        "const one = document.activeElement; return [one.textContent, getComputedStyle(one).outlineStyle]"
    )
    assert ["Skip to the answer", "solid"] == said


def test_pages_with_little_on_them_load_too(browser, tmp_path, monkeypatch):
    """One cell, which is both A and B; two runs, of which cells are compared; and calls that are left out."""
    text = READS.replace("3KiB", "8KiB") + 'path = ["page_io"]\n'
    one = traced(tmp_path / "one", text, trace=False)
    file = tmp_path / "page.html"
    file.write_text(report([one], [[]]), encoding="utf-8")
    open_page(browser, file)
    assert {"+0.0"} == {row[4] for row in texts(browser, "#difference table")}
    other = dataclasses.replace(one, manifest={**one.manifest, "title": "other"})
    file.write_text(report([one, other], [[], []]), encoding="utf-8")
    open_page(browser, file)
    selects = "[...document.querySelectorAll('#pickers fieldset select')]"
    chosen = f"return {selects}.map((one) => one.selectedOptions[0].text)"
    assert ["t", "other"] == browser.execute_script(chosen)
    choose(browser, "#pickers fieldset:nth-of-type(2) select", "t")
    assert ["t", "t"] == browser.execute_script(chosen)
    monkeypatch.setattr("sim.report.html.explorer.MOST_BYTES", 10)
    file.write_text(report([one], [[]]), encoding="utf-8")
    open_page(browser, file)
    assert [] == browser.get_log("browser")
    press(browser, "#cells ~ .data th button", "MiB/s")
    assert 1 == len(texts(browser, "#cells ~ .data table"))


def test_it_prints(opened):
    """Some pages of PDF, without controls, light, whatever the screen is."""
    emulate(opened, "dark")
    document = base64.b64decode(opened.print_page())
    assert document.startswith(b"%PDF")
    assert 5 <= document.count(b"/Type /Page\n") <= 20
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    shown = opened.execute_script(
        "return [getComputedStyle(document.body).backgroundColor,"
        " [...document.querySelectorAll('.controls, nav')].filter((one) => one.checkVisibility()).length]"
    )
    assert ["rgb(255, 255, 255)", 0] == shown
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
