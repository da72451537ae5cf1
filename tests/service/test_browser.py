"""The report in a real browser, without network: pictures are drawn, nothing overflows, nothing is loaded.

The page is shown in a frame of the wanted width (a headless window has a least width). A small script added to
it collects errors, measures, and tells the page around, which leaves what it heard in its title.
"""

from __future__ import annotations

import html as markup
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scaling_app.service.page import POLICY
from scaling_app.service.report import report_html

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
pytestmark = [
    pytest.mark.slow_window,
    pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on this machine"),
]

OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--virtual-time-budget=10000",
]

LISTEN = """<script>
window.found = [];
addEventListener("error", (e) => found.push(String(e.message)));
addEventListener("securitypolicyviolation", (e) => found.push("blocked " + e.blockedURI));
const complain = console.error; console.error = (...all) => { found.push(all.join(" ")); complain(...all); };
</script>"""

MEASURE = """<script>
addEventListener("load", () => setTimeout(() => {
  const page = document.documentElement, place = (n) => n.getBoundingClientRect();
  const wide = [...document.querySelectorAll("main *")].filter((n) => !n.closest(".scroll table, svg, .js-plotly-plot")
    && place(n).width && place(n).right > page.clientWidth + 0.5).map((n) => n.tagName + "." + n.className);
  const cut = [...document.querySelectorAll(".chart")].filter((c) => [...c.querySelectorAll("text")].some((t) =>
    t.textContent && place(t).width && (place(t).left < place(c).left - 1 || place(t).right > place(c).right + 1)));
  parent.postMessage(JSON.stringify({
    errors: found, width: page.clientWidth, scroll: page.scrollWidth, wide, cut: cut.map((c) => c.id),
    charts: document.querySelectorAll(".chart").length,
    drawn: [...document.querySelectorAll(".chart")].filter((c) => c.querySelector("svg.main-svg .xtick, svg.main-svg .ytick")).length,
    loaded: performance.getEntriesByType("resource").map((r) => r.name).filter((n) => !n.startsWith("data:")),
    scripted: Boolean(window.stolen),
  }), "*");
}, 500));
</script>"""


AROUND = """<!doctype html><title>waiting</title><style>body { margin: 0 } iframe { border: 0; height: 1200px }</style>
<script>addEventListener("message", (e) => { document.title = e.data; });</script><iframe src="report.html" """


def look_at(html: str, folder: Path, width: int) -> dict[str, Any]:
    """Shows the page at that width and returns what the script in it found."""
    shown = html.replace("<head>", "<head>" + LISTEN).replace("</body>", MEASURE + "</body>")
    (folder / "report.html").write_text(shown, "utf-8")
    (folder / "around.html").write_text(f'{AROUND} style="width: {width}px"></iframe>', "utf-8")
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={folder / 'profile'}", "--window-size=1500,1300"]
    answer = subprocess.run(
        [*command, "--dump-dom", (folder / "around.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HOME": str(folder)},
    )
    title = re.search(r"<title>(\{.*?\})</title>", answer.stdout, re.DOTALL)
    assert title is not None, answer.stderr[-2000:]
    return json.loads(markup.unescape(title.group(1)))


@pytest.fixture(scope="module")
def hostile(answered) -> str:
    payload, history = answered
    name = (
        "<img src=x onerror=window.stolen=1> a long name of a structure-that-does-not-break-anywhere-at-all"
    )
    renamed = json.loads(json.dumps([payload, history]).replace('"anterior"', json.dumps(name)))
    strategies = [{"name": name, "kappa": {"mean": 1.6, "lo80": 1.2, "hi80": 2.1}}]
    return report_html({**renamed[0], "strategies": strategies}, history=renamed[1])


@pytest.mark.parametrize("width", [1400, 390, 360])
def test_the_report_is_drawn_and_fits(hostile: str, tmp_path: Path, width: int) -> None:
    seen = look_at(hostile, tmp_path, width)
    assert seen["errors"] == []
    assert seen["loaded"] == []
    assert seen["charts"] == seen["drawn"] == 6
    assert seen["width"] == width
    assert seen["scroll"] <= seen["width"]
    assert seen["wide"] == []
    assert seen["cut"] == []
    assert not seen["scripted"]


def test_the_page_may_load_nothing_at_all(hostile: str, tmp_path: Path) -> None:
    spy = '<img src="http://127.0.0.1:9/spy.png"></body>'
    seen = look_at(hostile.replace("</body>", spy), tmp_path, 800)
    assert [error for error in seen["errors"] if "127.0.0.1" in error]
    assert "default-src 'none'" in POLICY
