"""The report's page while it is open: what it shows, how it follows the server, and what it does when that cannot be."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request, Response

from scaling_app.ledger import LASTING_DOUBTS, Case, Doubt, Ledger, utc_now
from scaling_app.service.glance import Training
from scaling_app.service.report import report_html

from .live_bench import WATCH, LiveServer, Shown, chromium, to_login

pytestmark = pytest.mark.slow_window

EVIL = "<img src=x onerror=window.stolen=1>\"'</script><script>window.stolen=1</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def shown(answered, tmp_path: Path) -> Iterator[Shown]:
    """The answer of a session, whose ledger holds two cases in doubt; the second one's cannot be confirmed."""
    payload, history = copy.deepcopy(answered)
    with Ledger(tmp_path / "shown.sqlite") as ledger:
        for earlier in history:
            ledger.save_forecast(earlier)
        for name, kind in (("a/b c", "size"), ("case_d", LASTING_DOUBTS[0])):
            doubt = Doubt(kind, f"{name} is odd; look again.")
            ledger.save_case(Case(name, f"h {name}", utc_now(), name, doubts=(doubt,)))
        job = {"state": "running", "done": 3, "total": 9, "eta_seconds": 240}
        yield Shown({**payload, "doubts": [], "job": job}, ledger, Training(120, 400, 260.0))


@pytest.fixture
def server(shown: Shown) -> Iterator[LiveServer]:
    running = LiveServer(shown)
    yield running
    running.stop()


@pytest.fixture
def open_page(browser: Any, server: LiveServer) -> Iterator[Callable[..., Any]]:
    """Opens the page; its clock can be wound on. At the end it must have done nothing that its policy forbids."""
    contexts, pages = [], []

    def make(width: int = 1200, scheme: str = "light", **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(60_000)
        page.add_init_script(WATCH)
        page.clock.install()
        page.goto(server.page)
        is_drawn(page)
        return page

    yield make
    for page in pages:
        assert page.evaluate("window.found") == []
        assert not page.evaluate("Boolean(window.stolen)")
        loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
        assert all(name.startswith((server.page.rsplit("/", 2)[0], "data:", "blob:")) for name in loaded), (
            loaded
        )
    for context in contexts:
        context.close()


def is_drawn(page: Any) -> None:
    """Waits for the pictures."""
    page.wait_for_selector("html[data-drawn]", state="attached")


def wind_on(page: Any, seconds: float = 20) -> None:
    """Lets the next question come."""
    page.clock.fast_forward(int(seconds * 1000))


def text(page: Any, part: str) -> str:
    return page.locator(f'[data-part="{part}"]').inner_text().replace("\u00a0", " ")


def test_it_says_at_a_glance_what_to_do_and_what_is_under_way(open_page, shown: Shown) -> None:
    page = open_page()
    gain = shown.answer["overall"]["forecast"][0]["gain"]["mean"]
    said = text(page, "advice")
    assert shown.answer["advice"]["sentence"] in said
    assert f"Next case: {100 * gain:+.1f} points (80 %:" in said and "Next 5 cases: " in said
    assert "since the last 3 labels." in said  # the forecast before was made at 10 cases
    work = page.get_by_role("region", name="Under way").inner_text()
    assert "A new model is being trained: about 4.3 min left (120 of 400 steps)." in work
    assert "New curve points are being measured: about 4.0 min left (3 of 9 trainings done)." in work
    assert page.get_by_role("img", name="Learning curve: Dice against").is_visible()
    assert page.get_by_role("heading", level=1).count() == 1


def test_it_follows_the_server_and_an_answer_without_news_has_no_body(open_page, shown: Shown) -> None:
    page = open_page()
    page.get_by_text("The measured points").click()
    shown.asked.clear()
    with page.expect_response("**/report/often") as answer:
        wind_on(page)
    assert answer.value.status == 304 and shown.asked == [("report/often", 304)]
    now = copy.deepcopy(shown.answer)
    now["advice"]["sentence"] = "You may stop: it is enough."
    now["overall"]["now"]["mean"] = 0.9123
    shown.answer, shown.training = now, None
    wind_on(page)
    page.get_by_text("91.2").first.wait_for()
    assert "You may stop: it is enough." in text(page, "advice")
    assert page.locator("#spoken").inner_text().startswith("You may stop: it is enough.")
    assert page.locator("#spoken").get_attribute("aria-live") == "polite"
    is_drawn(page)
    assert page.locator("#curve svg.main-svg").count() > 0
    assert page.locator("details[open]").count() == 1  # what was unfolded stays so
    assert "trained" not in text(page, "work")
    shown.answer = {**now, "job": {**now["job"], "done": 4}}
    shown.asked.clear()
    wind_on(page)
    page.get_by_text("4 of 9 trainings").wait_for()
    assert shown.asked == [("report/often", 200)]  # no figure is drawn anew for a job that goes on


def of_another_version(route: Any) -> None:
    """What a server answers that has been updated while the page was open."""
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), "version": "9.9"})


def test_a_server_that_goes_away_is_named_and_taken_up_again(open_page, server: LiveServer) -> None:
    page = open_page()
    trouble = page.locator("#trouble")
    before = text(page, "advice")
    server.stop()
    wind_on(page)
    page.get_by_text("The server does not answer. What stands below is from before.").wait_for()
    page.clock.set_system_time("2031-01-01")  # a clock that is wrong changes nothing
    for _ in range(6):
        with page.expect_event("requestfailed"):
            wind_on(page, 70)
    page.get_by_text("For 7 min now.").or_(page.get_by_text("For 6 min now.")).wait_for()
    assert text(page, "advice") == before and trouble.get_attribute("role") == "status"
    server.start()
    wind_on(page, 70)
    trouble.wait_for(state="hidden")


def half(_: Request) -> Response:
    return Response(b'{"parts": {"head": "<h1>', media_type="application/json")


NO_ANSWERS: tuple[tuple[Callable[[Request], Response], str], ...] = (
    (lambda _: Response("Internal Server Error", 500), "The server reports an error (500)."),
    (lambda _: Response("<html>", 502), "Something in front of the server answers in its place (502)."),
    (half, "The server's answer came in part, or is none."),
    (lambda _: Response("<html>", media_type="text/html"), "The server's answer came in part, or is none."),
    (lambda _: Response("[]", media_type="application/json"), "is of another version."),
    (lambda _: Response('{"parts": {"head": 1}}', media_type="application/json"), "is of another version."),
    (to_login, "wants a sign-in: reload this page."),
    (lambda _: Response(status_code=403), "This account may not do that here."),
)


def test_an_answer_that_is_none_is_named_and_changes_nothing(open_page, shown: Shown) -> None:
    page = open_page()
    before = text(page, "advice")
    for fault, sentence in NO_ANSWERS:
        shown.fault, shown.training = fault, None
        wind_on(page)
        page.locator("#trouble").filter(has_text=sentence).wait_for()
        assert text(page, "advice") == before
        shown.fault, shown.training = None, Training(10, 100, 60.0)
        wind_on(page)
        page.locator("#trouble").wait_for(state="hidden")
        assert "10 of 100 steps" in text(page, "work")
    page.route("**/report/often", of_another_version)
    shown.training = None
    wind_on(page)
    page.get_by_text("The server has been updated: reload this page.").wait_for()
    assert "steps" not in text(page, "work")


def test_doubts_are_settled_with_the_keyboard_alone(open_page, shown: Shown) -> None:
    page, other = open_page(390), open_page()
    right = page.get_by_role("button", name="The label of a/b c is right")
    for _ in range(20):
        page.keyboard.press("Tab")
        if right.evaluate("(button) => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    right.wait_for(state="detached")
    assert [case.image_id for case in shown.ledger.usable_cases()] == ["a/b c"]
    refused = page.get_by_role("button", name="The label of case_d is right")
    assert refused.evaluate(
        "(button) => button === document.activeElement"
    )  # who was there goes on at the next
    page.keyboard.press("Enter")
    page.get_by_text("This cannot be confirmed, only corrected. case_d is odd; look again.").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # set aside
    assert not refused.is_visible()
    page.get_by_text("1 set aside on this page; left out of the curve as before.").wait_for()
    page.keyboard.press("Enter")  # show again
    assert refused.is_visible()
    wind_on(other)
    other.get_by_role("button", name="The label of a/b c is right").wait_for(state="detached")


def test_who_has_to_sign_in_sees_nothing_before_and_goes_on_afterwards(open_page, shown: Shown) -> None:
    shown.token = "first"
    page = open_page()
    assert "Dice" not in page.content().split("<script")[0]
    page.get_by_label("Name").fill("reader")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("The name or the password is wrong.").wait_for()
    page.get_by_label("Password", exact=True).fill("right")
    page.keyboard.press("Enter")
    page.get_by_text(shown.answer["advice"]["sentence"]).first.wait_for()
    page.wait_for_selector("#curve svg.main-svg")
    page.get_by_role("button", name="The label of a/b c is right").click()
    page.get_by_role("button", name="The label of a/b c is right").wait_for(state="detached")
    shown.token = "second"
    wind_on(page)
    page.get_by_text("The sign-in has run out. What stands below is from before.").wait_for()
    page.get_by_label("Name").fill("reader")
    page.get_by_label("Password", exact=True).fill("right")
    page.keyboard.press("Enter")
    page.locator("#sign-in").wait_for(state="hidden")


@pytest.mark.parametrize(("width", "scheme"), [(1400, "dark"), (360, "light")])
def test_it_fits_the_window_whatever_structures_are_called(
    open_page, shown: Shown, width: int, scheme: str
) -> None:
    shown.answer = json.loads(json.dumps(shown.answer).replace('"anterior"', json.dumps(EVIL + "x" * 80)))
    doubt = Doubt("size", EVIL)
    shown.ledger.save_case(Case(EVIL, "h", utc_now(), "p", doubts=(doubt,)))
    page = open_page(width, scheme)
    wind_on(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_text(EVIL).count() > 1
    colours = "(node) => [getComputedStyle(node).color, getComputedStyle(document.body).backgroundColor]"
    ink, paper = page.get_by_role("heading", level=1).evaluate(colours)
    lighter = lambda colour: sum(map(int, colour[4:-1].split(",")))  # noqa: E731
    assert (lighter(ink) > lighter(paper)) == (scheme == "dark")
    page.get_by_role("button", name=f"The label of {EVIL} is right").click()
    page.get_by_role("button", name=f"The label of {EVIL} is right").wait_for(state="detached")


def test_a_window_that_becomes_narrow_has_nothing_to_scroll_sideways(open_page) -> None:
    """A tablet that is turned, a page that is enlarged: pictures out of sight are drawn anew when they come near."""
    page = open_page(1200)
    charts = page.locator(".chart")
    for number in range(charts.count()):
        charts.nth(number).scroll_into_view_if_needed()
        charts.nth(number).locator("svg.main-svg").first.wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    charts.last.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chart')].pop().querySelector('svg').clientWidth < 320"
    )


def test_many_structures_hold_nobody_up(open_page, shown: Shown) -> None:
    one = shown.answer["structures"][0]
    shown.answer = {**shown.answer, "structures": [{**one, "name": f"s{k}"} for k in range(300)]}
    page = open_page()
    drawn = page.locator(".panels .js-plotly-plot")
    assert page.locator(".panels .chart").count() == 300 and drawn.count() < 60
    last = page.locator("#structure-299")
    last.scroll_into_view_if_needed()
    last.locator("svg.main-svg").first.wait_for()
    assert drawn.count() < 120


def test_a_page_that_stays_open_does_not_grow(open_page, shown: Shown) -> None:
    page = open_page()
    session = page.context.new_cdp_session(page)

    def size() -> dict[str, float]:
        session.send("HeapProfiler.collectGarbage")
        session.send("Performance.enable")
        found = session.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in found if one["name"] in ("Nodes", "JSEventListeners")}

    def live(times: int) -> None:
        for _ in range(times):
            now = copy.deepcopy(shown.answer)
            now["overall"]["now"]["mean"] += 1e-4
            shown.answer = now
            with page.expect_response("**/report/sections"):
                wind_on(page)
            is_drawn(page)

    live(2)
    before = size()
    live(5)
    # the browser may hold the last figure for a moment; what is never let go of stays
    for _ in range(40):
        after = size()
        if all(after[name] <= 1.1 * before[name] for name in before):
            return
        time.sleep(0.25)
    pytest.fail(f"it grew from {before} to {after}")


def test_a_slow_server_is_asked_one_thing_at_a_time(open_page, shown: Shown) -> None:
    page = open_page()
    open_now = [0]
    most = [0]

    async def slow() -> None:
        open_now[0] += 1
        most[0] = max(most[0], open_now[0])
        await asyncio.sleep(0.3)
        open_now[0] -= 1

    shown.fault = lambda _: slow()
    with page.expect_response("**/report/often"):
        wind_on(page)
        for _ in range(4):
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    with page.expect_response("**/report/often"):
        """What was asked meanwhile."""
    assert most == [1]

    async def slower() -> None:
        await asyncio.sleep(20)

    shown.fault = lambda _: slower()
    with page.expect_request("**/report/often"):
        wind_on(page)
    wind_on(page, 31)
    page.get_by_text("The server does not answer. What stands below is from before.").wait_for()


def test_a_saved_report_follows_nothing(answered) -> None:
    html = report_html(answered[0], history=answered[1])
    assert "connect-src" not in html and "report/often" not in html and "data-act" not in html
