"""The report: what it says, that it says it safely, and that its pictures are valid."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from scaling_app.forecast.prior import shipped_prior, weak_prior
from scaling_app.service import figures
from scaling_app.service.methods_text import methods_text, prior_sentence
from scaling_app.service.outcomes import Outcome, outcomes_of
from scaling_app.service.payloads import Payload
from scaling_app.service.report import report_html, write_report

EVIL = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>"
STRATEGIES = [
    {
        "name": "genda",
        "kappa": {"mean": 1.6, "lo80": 1.2, "hi80": 2.1},
        "dice_difference": {"mean": 0.021, "lo80": 0.01, "hi80": 0.032},
    }
]


def body_of(html: str) -> str:
    """The page without Plotly's own text."""
    return html[: html.index('<script type="application/json"')]


def words_of(html: str) -> str:
    """What a reader sees."""
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", " ", body_of(html), flags=re.DOTALL))
    return " ".join(unescape(text).replace("\u00a0", " ").split())


def figures_of(html: str) -> dict[str, Any]:
    """The figures that the page will draw."""
    return json.loads(re.search(r'id="figures">(.*?)</script>', html, re.DOTALL).group(1))


@pytest.fixture(scope="module")
def full(answered) -> dict[str, Any]:
    payload, _ = answered
    return {
        **payload,
        "n_labelled": 14,
        "strategies": STRATEGIES,
        "coverage": {"outside": 7, "pool": 47, "cases": [{"image": "odd_one", "distance": 3.1}]},
        "doubts": [{"image": "case_99", "sentence": "The label is empty."}],
        "job": {"state": "running", "done": 3, "total": 9, "eta_seconds": 240},
    }


@pytest.fixture(scope="module")
def page(full, answered) -> str:
    return report_html(full, history=answered[1])


def test_the_page_says_everything_it_must(page: str, full: dict[str, Any]) -> None:
    words = words_of(page)
    for wanted in (
        full["advice"]["sentence"],
        full["advice"]["reason"],
        "Now, and with more cases",
        "The learning curve",
        "80 % range",
        "What more cases bring",
        "Where the information comes from",
        "Structure by structure",
        "anterior",
        "What strategies make of a label",
        "1.60",
        "Were earlier forecasts right?",
        "Time per case",
        "7 of 47 unlabelled cases",
        "odd_one",
        "case_99 : The label is empty.",
        "3 of 9 trainings done, about 4.0 min left",
        "Text for a paper",
        "Nothing about other scanners",
    ):
        assert wanted in words, wanted


def test_the_table_holds_the_forecast_in_points(page: str, full: dict[str, Any]) -> None:
    words = words_of(page)
    row = full["overall"]["forecast"][1]
    expected = f"5 more {row['n']} {100 * row['mean']:.1f} {100 * row['lo80']:.1f} to {100 * row['hi80']:.1f}"
    assert expected in words


def test_a_structures_gain_has_its_range(page: str, full: dict[str, Any]) -> None:
    gain = full["structures"][0]["forecast"][1]["gain"]
    mean, low, high = (f"{100 * gain[key]:+.1f}".replace("-", "−") for key in ("mean", "lo80", "hi80"))
    assert f" {mean} ({low} to {high}) " in words_of(page)


def test_every_figure_has_its_place_words_and_numbers(page: str) -> None:
    drawn = figures_of(page)
    assert set(drawn) == {"curve", "gain", "structure-0", "structure-1", "kappa", "reliability"}
    places = re.findall(r'id="([^"]+)" role="img" aria-label="([^"]+)"', page)
    assert {name for name, _ in places} == set(drawn)
    assert all(len(said) > 20 for _, said in places)


def test_the_curve_shows_points_by_kind_bands_and_target(page: str, full: dict[str, Any]) -> None:
    curve = figures_of(page)["curve"]
    names = [trace.get("name") for trace in curve["data"]]
    fills = [trace.get("fillcolor") for trace in curve["data"] if trace.get("fill")]
    assert fills == ["@band95", "@band80"]
    assert [name for name in names if name] == [
        figures.KINDS[k][0] for k in ("prequential", "fold", "nested")
    ]
    assert any(shape.get("y0") == 85.0 for shape in curve["layout"]["shapes"])
    seen = [p for p in full["observed"] if p["structure"] == "overall"]
    drawn = sum(len(trace["x"]) for trace in curve["data"] if trace["mode"] == "markers")
    assert drawn == len(seen)


def test_figures_are_valid_plotly(page: str) -> None:
    def coloured(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: coloured(item) for key, item in value.items()}
        if isinstance(value, list):
            return [coloured(item) for item in value]
        return "#123456" if isinstance(value, str) and value.startswith("@") else value

    for figure in figures_of(page).values():
        go.Figure(coloured(figure))


def test_every_colour_of_a_figure_is_in_the_style_sheet(page: str) -> None:
    used = set(re.findall(r'"@([a-z0-9]+)"', json.dumps(figures_of(page))))
    assert used
    assert used <= set(re.findall(r"--([a-z0-9]+):", page))


def test_names_from_users_cannot_become_markup(full: dict[str, Any]) -> None:
    hostile = json.loads(json.dumps(full).replace('"anterior"', json.dumps(EVIL)))
    hostile["doubts"] = [{"image": EVIL, "sentence": EVIL}]
    hostile["coverage"]["cases"] = [{"image": EVIL, "distance": 1.0}]
    hostile["strategies"] = [{**STRATEGIES[0], "name": EVIL}]
    hostile["advice"] = {**full["advice"], "sentence": EVIL, "reason": EVIL}
    hostile["model"] = EVIL
    html = report_html(hostile, title=EVIL)
    assert "<img" not in body_of(html)
    assert body_of(html).count("<script") == 0
    assert "<" not in json.dumps(figures_of(html)["kappa"]["data"]).replace("<extra></extra>", "")
    assert EVIL in unescape(body_of(html))


def test_the_page_loads_nothing(page: str) -> None:
    assert not re.findall(r'(?:src|href)\s*=\s*["\']', body_of(page))
    assert "url(" not in body_of(page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize(("n_in_curve", "scores_are_there"), [(11, False), (3, True)])
def test_a_forecast_that_is_not_there_never_lacks_nothing(n_in_curve: int, scores_are_there: bool) -> None:
    """A measured point can rest on fewer scores than a forecast takes."""
    html = report_html(
        {
            "status": "too_few",
            "message": "Not enough to say yet: 2 scores so far, at least 3 are needed.",
            "n_in_curve": n_in_curve,
            "advice": {"action": "wait", "sentence": "Not enough to say yet.", "reason": "2 scores so far"},
            "observed": [{"n": 11, "dice": 0.5, "kind": "prequential", "structure": "organ"}],
        }
    )
    items = re.findall(r"<li( class=there)?>([^<]+)", html.partition("What is missing")[2])[:2]
    assert [bool(there) for there, _ in items] == [n_in_curve >= 4, scores_are_there]


def test_before_the_first_forecast_nothing_is_said_of_one_before() -> None:
    first = {
        "status": "computing",
        "n_labelled": 12,
        "advice": {"action": "wait", "sentence": "Please wait."},
    }
    words = words_of(report_html(first))
    assert "A new forecast is being computed." in words
    assert "What is missing" not in words and "left out" not in words and "the one before" not in words


@pytest.mark.parametrize(
    ("coverage", "said"),
    [
        ({"outside": 0, "pool": 60}, "do not explain: none of 60 unlabelled cases looked at."),
        (
            {"outside": 1, "pool": 1},
            "do not explain: 1 of 1 unlabelled case looked at. The forecast says little about these.",
        ),
        ({"outside": 0, "pool": 0}, ""),
    ],
)
def test_coverage_is_said_in_numbers_that_are_there(full, coverage: dict, said: str) -> None:
    words = words_of(report_html({**full, "coverage": coverage}))
    assert said in words if said else "do not explain" not in words


def test_too_few_cases_show_what_is_missing() -> None:
    html = report_html(
        {
            "status": "too_few",
            "message": "Not enough to say yet.",
            "n_labelled": 2,
            "n_in_curve": 1,
            "advice": {"action": "wait", "sentence": "Not enough to say yet.", "reason": "1 case labelled"},
            "doubts": [{"image": "a", "sentence": "The label is empty."}],
        }
    )
    words = words_of(html)
    assert "What is missing" in words
    assert "1 labelled case without open doubts (at least 4 are needed)" in words
    assert "0 measured points" in words
    assert "1 open doubt about labels" in words
    assert "Text for a paper" not in words
    assert figures_of(html) == {}


@pytest.mark.parametrize("status", ["computing", "error", "prior_dominated"])
def test_the_state_is_said_above_the_numbers(full: dict[str, Any], status: str) -> None:
    words = words_of(report_html({**full, "status": status, "message": "This is why."}))
    assert ("being computed" if status == "computing" else "This is why.") in words


def test_unknown_numbers_are_dashes(full: dict[str, Any]) -> None:
    bare = json.loads(json.dumps(full))
    for row in bare["overall"]["forecast"]:
        row["gain"], row["minutes"] = None, None
    for point in bare["overall"]["curve"]:
        point["lo95"] = None
    bare["target"] = {"dice": 0.85}
    bare["overall"]["ceiling"] = None
    words = words_of(report_html(bare))
    assert "None" not in words
    assert "nan" not in words
    assert "Annotation" not in words


def test_a_strategy_without_kappa_still_shows_its_difference(full: dict[str, Any]) -> None:
    html = report_html({**full, "strategies": [{**STRATEGIES[0], "kappa": None}]})
    assert "genda – – +2.1 +1.0 to +3.2" in words_of(html)
    assert "kappa" not in figures_of(html)


def test_a_single_structure_needs_no_panels(full: dict[str, Any]) -> None:
    single = {**full, "structures": full["structures"][:1]}
    assert "Structure by structure" not in words_of(report_html(single))


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="status"):
        report_html({"advice": {"action": "wait", "sentence": "x"}})


def test_the_file_is_written_where_it_was_asked(tmp_path: Path, full: dict[str, Any]) -> None:
    out = write_report(full, tmp_path / "deep" / "report.html", title="Milz & Leber")
    assert "<title>Milz &amp; Leber</title>" in out.read_text(encoding="utf-8")


def test_outcomes_pair_a_forecast_with_what_came(answered) -> None:
    _, history = answered
    found = outcomes_of(history)
    assert [(o.made_at, o.n) for o in found] == [(5, 10), (8, 13)]
    assert found[0].came == history[2]["overall"]["now"]["mean"]
    assert found[0].mean == history[0]["overall"]["forecast"][1]["mean"]


def test_without_later_answers_there_is_no_outcome(answered) -> None:
    _, history = answered
    assert outcomes_of(history[:1]) == []
    assert outcomes_of([{"overall": None, "n_in_curve": 2}, *history[:1]]) == []


def test_a_range_holds_its_ends() -> None:
    outcome = Outcome(made_at=4, n=8, mean=0.75, lo80=0.7, hi80=0.8, came=0.8)
    assert outcome.held
    assert not replace(outcome, came=0.81).held


def test_the_methods_text_states_size_level_and_how_it_was_found(full: dict[str, Any]) -> None:
    payload = Payload.model_validate(full)
    text = methods_text(payload)
    now = payload.overall.now
    assert "n = 13" in text
    assert "1 further labelled case with open quality doubts left out" in text
    assert f"{100 * now.mean:.1f} points (80 % interval" in text
    assert "anterior and posterior" in text
    assert "cross-validation" in text
    assert "A further 5 cases were expected" in text
    assert "[state the source of the cases" in text
    assert "None" not in text


def test_the_methods_text_says_what_the_prior_is_made_of(full: dict[str, Any]) -> None:
    payload = Payload.model_validate(full)
    prior = shipped_prior()
    assert prior_sentence(prior) in methods_text(payload)
    assert "other segmentation tasks" not in methods_text(payload)
    by_name = {c.name: (c, w) for c, w in zip(prior.components, prior.weights, strict=True)}
    tabular, share = by_name["lcdb"]
    assert f"{tabular.n_tasks} data sets for tabular classification (LCDB 1.1" in prior_sentence(prior)
    assert f"({100 * share:.0f} %)" in prior_sentence(prior)


def test_a_prior_without_a_bank_claims_no_segmentation_curves() -> None:
    sentence = prior_sentence(weak_prior())
    assert "segmentation" not in sentence
    assert "tabular" not in sentence
    assert "weakly informative family of curves (100 %)" in sentence


def test_other_strategies_have_points_of_their_own_below_the_sessions(full: dict[str, Any]) -> None:
    point = {"structure": "overall", "kind": "arm", "n": 10, "lo80": None, "hi80": None, "n_cases": 13}
    arms = [{**point, "dice": 0.7, "strategy": "red"}, {**point, "dice": 0.8, "strategy": "genda"}]
    html = report_html({**full, "observed": [*full["observed"], *arms]})
    marks = [trace for trace in figures_of(html)["curve"]["data"] if trace["mode"] == "markers"]
    assert marks[0]["text"] == [
        "another strategy, red, tested on 13",
        "another strategy, genda, tested on 13",
    ]
    assert "another strategy: red 10 70.0 – 13" in words_of(html)


def test_the_share_of_the_prior_is_not_called_segmentation_alone(page: str) -> None:
    assert "not all of them segmentation" in words_of(page)
    assert "other segmentation tasks" not in words_of(page)


def test_a_table_of_strategies_has_no_columns_for_what_nobody_measured(full: dict[str, Any]) -> None:
    assert "Surface Dice difference" not in words_of(report_html(full))
    surface = [{**STRATEGIES[0], "nsd_difference": {"mean": 0.01, "lo80": 0.0, "hi80": 0.02}}]
    words = words_of(report_html({**full, "strategies": surface}))
    assert "Surface Dice difference, points" in words
    assert "+1.0 0.0 to +2.0" in words.replace("+0.0", "0.0")
