"""The report's file in a real browser, without network: pictures are drawn, nothing overflows, nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling_app.service.report import report_html

from .live_bench import WATCH, chromium

pytestmark = pytest.mark.slow_window

MEASURE = """() => {
  const page = document.documentElement, place = (n) => n.getBoundingClientRect();
  const wide = [...document.querySelectorAll("main *")].filter((n) => !n.closest(".scroll table, svg, .js-plotly-plot")
    && place(n).width && place(n).right > page.clientWidth + 0.5).map((n) => n.tagName + "." + n.className);
  const cut = [...document.querySelectorAll(".chart")].filter((c) => [...c.querySelectorAll("text")].some((t) =>
    t.textContent && place(t).width && (place(t).left < place(c).left - 1 || place(t).right > place(c).right + 1)));
  return {
    errors: found, scroll: page.scrollWidth, wide, cut: cut.map((c) => c.id),
    drawn: [...document.querySelectorAll(".chart")].filter((c) => c.querySelector("svg.main-svg .xtick, svg.main-svg .ytick")).length,
    loaded: performance.getEntriesByType("resource").map((r) => r.name).filter((n) => !n.startsWith("data:")),
    scripted: Boolean(window.stolen),
  };
}"""


@pytest.fixture(scope="module")
def page_of(answered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Opens the report of a session with a hostile name, and with `more` before its end."""
    payload, history = answered
    name = (
        "<img src=x onerror=window.stolen=1> a long name of a structure-that-does-not-break-anywhere-at-all"
    )
    renamed = json.loads(json.dumps([payload, history]).replace('"anterior"', json.dumps(name)))
    strategies = [{"name": name, "kappa": {"mean": 1.6, "lo80": 1.2, "hi80": 2.1}}]
    html = report_html({**renamed[0], "strategies": strategies}, history=renamed[1])
    file: Path = tmp_path_factory.mktemp("report") / "report.html"
    with chromium() as browser:

        def make(width: int, more: str = "") -> Any:
            file.write_text(html.replace("</body>", f"{more}</body>"), "utf-8")
            page = browser.new_page(viewport={"width": width, "height": 1200})
            page.set_default_timeout(60_000)
            page.add_init_script(WATCH)
            page.goto(file.as_uri())
            return page

        yield make


@pytest.mark.parametrize("width", [1400, 360])
def test_the_report_is_drawn_and_fits(page_of, width: int) -> None:
    page = page_of(width)
    charts = page.locator(".chart")
    assert charts.count() == 6
    for number in range(charts.count()):
        charts.nth(number).scroll_into_view_if_needed()
        charts.nth(number).locator("svg.main-svg").first.wait_for()
    seen = page.evaluate(MEASURE)
    assert seen.pop("scroll") <= width
    nothing = {"errors": [], "wide": [], "cut": [], "loaded": [], "scripted": False}
    assert seen == {**nothing, "drawn": 6}


def test_the_page_may_load_nothing_and_run_no_script_but_its_own(page_of) -> None:
    page = page_of(800, '<img src="http://127.0.0.1:9/spy.png"><script>window.stolen = 1</script>')
    page.wait_for_selector("html[data-drawn]", state="attached")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    seen = page.evaluate(MEASURE)
    assert seen["drawn"] == 6  # on paper all at once
    assert sorted(seen["errors"]) == [
        "blocked http://127.0.0.1:9/spy.png img-src",
        "blocked inline script-src-elem",
    ]
    assert not seen["scripted"]
