"""The page in a real browser. Oracle: what Chromium says of errors, requests and dialogs, and what it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page import samples
from tests.page.browser import Browser
from tests.page.shoot import shoot
from tests.unit.builders import START, S, connection, report, touch
from tracer.model.finding import Report, Verdict
from tracer.model.states import Op
from tracer.reports import saying
from tracer.reports.html import page as html
from tracer.reports.json import report as json_report
from tracer.reports.json.reading.merging import Merging
from tracer.reports.json.reading.report import document, from_text

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_ROWS = "document.querySelectorAll('table.sites > tbody > tr.site').length"
_OPEN = "document.querySelectorAll('td.detail').length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with Browser() as started:
        started.look()
        yield started


@pytest.fixture(autouse=True)
def _quiet(browser: Browser) -> Iterator[None]:
    """No test leaves an error, a dialog, or a request for anything but its page."""
    browser.said.clear()
    browser.asked.clear()
    browser.dialogs.clear()
    yield
    browser.js("1")  # what was said until now has been heard
    assert (browser.said, browser.dialogs) == ([], [])
    assert [url for url in browser.asked if not url.startswith("file:///")] == []
    assert len(browser.asked) <= 1


def opened(browser: Browser, folder: Path, text: str) -> None:
    """Write the page and open it."""
    file = folder / "report.html"
    file.write_text(text, encoding="utf-8")
    browser.open(file)
    assert browser.js("document.getElementById('page').dataset.drawn") == "yes"


def test_it_shows_what_the_report_has(browser: Browser, tmp_path: Path) -> None:
    """A row for each site, the first one open; the headline, advice and timeline of the report."""
    found = samples.each_verdict()
    opened(browser, tmp_path, html.of_report(found))
    assert browser.js(_ROWS) == len(found.sites)
    verdicts = browser.js("[...document.querySelectorAll('tr.site td.short')].map((cell) => cell.textContent)")
    assert set(verdicts) == {verdict.value for verdict in Verdict}
    assert browser.js("document.querySelector('h1').textContent") == saying.headline(found)
    place = next(index for index, site in enumerate(found.sites) if site.verdict is Verdict.IDLE_IN_POOL)
    browser.js(f"document.querySelectorAll('tr.site')[{place}].click()")
    shown = browser.js(f"document.querySelectorAll('td.detail')[{'1' if place else '0'}].innerText")
    assert " ".join(found.sites[place].explanation) in shown
    assert found.sites[place].advice[0] in shown
    assert "FIN from the peer, CLOSE_WAIT" in shown
    assert browser.js("document.querySelectorAll('svg.picture rect.fin').length") >= 1
    assert browser.js("document.querySelectorAll('.flame button').length") > len(found.sites)


def test_the_keyboard_is_enough(browser: Browser, tmp_path: Path) -> None:
    """Search, move, open, sort and zoom without a mouse."""
    opened(browser, tmp_path, html.of_report(samples.each_verdict()))
    browser.press("/")
    browser.type("eof-ign")
    assert browser.js(_ROWS) == 1
    browser.press("ArrowDown")
    assert browser.js("document.activeElement.getAttribute('aria-expanded')") == "false"
    browser.press("Enter")
    assert browser.js("document.activeElement.getAttribute('aria-expanded')") == "true"
    browser.press("/")
    browser.press("Escape")
    assert browser.js(_ROWS) == len(Verdict)
    browser.js("document.querySelector('th:nth-child(3) button').focus()")
    browser.press("Enter")
    assert browser.js("document.querySelector('th:nth-child(3)').getAttribute('aria-sort')") == "descending"
    browser.js("document.querySelectorAll('.flame button')[1].focus()")
    chosen = browser.js("document.activeElement.textContent")
    browser.press("Enter")
    assert browser.js("document.querySelector('.flame button').textContent") == chosen
    browser.press("Enter")
    assert browser.js("document.querySelector('.flame button').textContent") == "all sockets"


def test_tab_reaches_everything(browser: Browser, tmp_path: Path) -> None:
    """Every button can be reached: none is taken out of the order."""
    opened(browser, tmp_path, html.of_report(samples.each_verdict()))
    assert browser.js("[...document.querySelectorAll('button, input')].every((one) => one.tabIndex === 0)")
    browser.press("Tab")
    assert browser.js("document.activeElement.type") == "search"


def test_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    """A name from a traced program is shown, and does nothing: no element of it, no dialog, no request."""
    text = html.of_report(samples.hostile())
    assert text.lower().count("</script") == 2
    assert "\u202e" not in text
    opened(browser, tmp_path, text)
    assert browser.js("document.querySelectorAll('img, iframe, object, a').length") == 0
    assert browser.js("document.scripts.length") == 2
    shown = browser.js("document.querySelector('td.detail').innerText")
    assert "<img src=x onerror=alert(2)>" in shown
    assert "\\u202e\\x1b[31m" in shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_can_be_read(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """Text has a contrast of at least 4.5 to its ground (WCAG 2.1, 1.4.3), in both schemes."""
    browser.look(scheme=scheme)
    opened(browser, tmp_path, html.of_report(samples.each_verdict()))
    worst = browser.js(_CONTRAST)
    browser.look()
    assert worst[0] >= 4.5, worst


_CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const texts = 'h1, h2, h3, dt, dd, p, td, th button, li span, .flame button, footer div';
  const found = [...document.querySelectorAll(texts)].filter((node) => node.textContent.trim()).map((node) => {
    const a = light(parse(getComputedStyle(node).color)), b = light(ground(node));
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.tagName, node.className, node.textContent];
  });
  return found.sort((a, b) => a[0] - b[0])[0];
})()"""


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_it_fits_the_window(browser: Browser, tmp_path: Path, width: int) -> None:
    """The page itself never scrolls sideways."""
    browser.look(width=width)
    opened(browser, tmp_path, html.of_report(samples.each_verdict()))
    wide = browser.js("document.documentElement.scrollWidth")
    browser.look()
    assert wide <= width


def test_it_prints(browser: Browser, tmp_path: Path) -> None:
    """Printed, all sites are open and what only a screen needs is gone."""
    opened(browser, tmp_path, html.of_report(samples.each_verdict()))
    assert browser.js(_OPEN) == 1
    assert browser.pdf().startswith(b"%PDF-")
    assert browser.js(_OPEN) == len(Verdict)
    browser.look(media="print")
    visible = browser.js("[...document.querySelectorAll('.screen')].filter((one) => one.offsetParent).length")
    browser.look()
    assert visible == 0


def test_ten_thousand_sockets(browser: Browser, tmp_path: Path) -> None:
    """Under 3 MB, drawn at once, and a search finds one socket's site."""
    text = html.of_report(samples.many())
    assert len(text.encode()) < 3_000_000
    opened(browser, tmp_path, text)
    assert browser.js("performance.timing.loadEventEnd - performance.timing.responseEnd") < 10_000
    assert browser.js("document.querySelectorAll('td.detail tr').length") < 100
    browser.press("/")
    browser.type("10.1.150.7:8443")
    assert browser.js(_ROWS) >= 1


def test_a_clean_report(browser: Browser, tmp_path: Path) -> None:
    """Without a site the page says so."""
    opened(browser, tmp_path, html.of_report(report()))
    assert browser.js("document.querySelector('.clear h1').textContent").startswith("no socket stayed in CLOSE_WAIT")
    assert browser.js(_ROWS) == 0


def _document(live: Report, hostname: str) -> bytes:
    told = json.loads("".join(json_report.to_text(live)))
    told["host"]["hostname"] = hostname
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "request, data 6 ms, silence 1m 05s, FIN, then nothing 2m 14s"),
        ({"last_tx_ns": START + 90 * S}, "request, data 1m 05s, FIN, then calls 24 s, nothing 1m 50s"),
        (
            {"eof": touch(Op.RECV, 90, 0), "eof_reads": 1},
            "request, data 6 ms, silence 1m 05s, FIN, then calls 24 s, nothing 1m 50s",
        ),
    ],
)
def test_the_picture_claims_only_what_is_known(
    browser: Browser, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    """After FIN there is nothing only if no call came; before it silence only if the last calls before it are known."""
    opened(browser, tmp_path, html.of_report(report(connection(1, **changes))))
    assert browser.js("document.querySelector('svg.picture title').textContent") == expected


def test_many_hosts_as_one(browser: Browser, tmp_path: Path) -> None:
    """A merged page names hosts and times."""
    merging = Merging()
    for name in ("web-1", "web-2"):
        merging.add(document(_document(samples.each_verdict(), name)), name)
    opened(browser, tmp_path, html.of_merged(merging.merged()))
    assert browser.js(_ROWS) == len(Verdict)
    shown = browser.js("document.querySelector('td.detail').innerText")
    assert re.search(r"On 2 hosts: web-1 \(1\), web-2 \(1\)", shown)


def test_the_pictures_in_docs_can_be_taken(tmp_path: Path) -> None:
    """By the script that took them, of the recording of which they are: as large, in two schemes that differ."""
    recording = (_DOCS / "transcripts" / "demo.json").read_bytes()
    page = tmp_path / "demo.html"
    page.write_text("".join(html.of_report(from_text(recording))), encoding="utf-8")
    shoot(page, tmp_path)
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == sorted(path.name for path in (_DOCS / "pictures").glob("page-*.png"))
    light, dark = ((tmp_path / name).read_bytes() for name in reversed(names))
    assert light != dark
    for name in names:
        taken, kept = ((folder / name).read_bytes() for folder in (tmp_path, _DOCS / "pictures"))
        assert taken[:8] == b"\x89PNG\r\n\x1a\n"
        assert taken[16:24] == kept[16:24], "width and height, in the header of a PNG"
