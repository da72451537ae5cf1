"""What a radiologist sees in ten seconds: the top of the panel, in sight whatever is folded or scrolled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import chart_picture
import panel_bench
import pytest
import translations_of_the_extension
from DataSufficiencyLib import server_words
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.forecast_words import job_text, table_rows
from DataSufficiencyLib.glance_words import advice_sentence, advice_text, next_text, now_text, readers_text
from DataSufficiencyLib.states import ForecastState
from DataSufficiencyLib.training import TrainingWatch
from session_bench import paint_all
from stub_server import StubServer, dice_at, sufficiency

from scaling_app_client.payload import Payload


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.1)
    monkeypatch.setattr(ForecastWatch, "CALM_S", 0.2)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.05)
    monkeypatch.setattr(chart_picture, "can_render", lambda: False)


@pytest.fixture
def module(scene: object) -> Iterator[object]:
    """The panel as it opens."""
    widget = panel_bench.open_module(unfolded=False)
    yield widget
    panel_bench.close_module(widget)


@pytest.fixture
def connect(module: object, server: StubServer, wait: Callable) -> Callable[[int], object]:
    def go(n: int) -> object:
        server.n = n
        module.ui.serverAddress.setCurrentText(server.url)
        module.ui.connectButton.click()
        wait(lambda: module.session.state.phase == "ready")
        return module.ui

    return go


def test_only_what_is_needed_now_is_unfolded(module: object, connect: Callable) -> None:
    ui = module.ui
    folded = [box for box in panel_bench.FOLDED if getattr(ui, box).collapsed]
    assert folded == list(panel_bench.FOLDED)
    assert not ui.serverBox.collapsed
    connect(12)
    assert ui.serverBox.collapsed
    assert not ui.caseBox.collapsed
    module.session.connection.disconnect()
    assert not ui.serverBox.collapsed


def test_a_server_that_wants_a_sign_in_is_unfolded_again(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    ui = connect(12)
    server.handlers["GET", "/sufficiency/"] = lambda handler: handler.answer({}, 401)
    module.session.forecast.ask()
    wait(lambda: ui.signInRow.isVisible())


def test_the_line_stays_in_sight_while_the_rest_is_scrolled(module: object, connect: Callable) -> None:
    ui = connect(12)
    panel_bench.unfold(module, *panel_bench.FOLDED)
    module.parent.resize(panel_bench.WIDTH, 600)
    bar = ui.scrollArea.verticalScrollBar()
    bar.setValue(bar.maximum)
    assert bar.maximum > 200
    assert ui.nextLabel.visibleRegion().boundingRect().height() == ui.nextLabel.height


def test_next_case_and_next_five_come_with_points_range_and_minutes(connect: Callable) -> None:
    ui = connect(12)
    one, five = (100 * (dice_at(12 + extra) - dice_at(12)) for extra in (1, 5))
    first, second = panel_bench.said(ui.nextLabel).splitlines()
    assert first == f"Next case: +{one:.1f} points (80 %: 0.2 to 0.8), 18 min of your time."
    assert second == f"Next 5: +{five:.1f} points (80 %: 1.0 to 3.0), 1 h 30 min of your time."
    assert ui.adviceLabel.text == "Please label 5 more cases, then look again."
    assert "chance of 89 %" in panel_bench.read(ui.adviceLabel.toolTip)


def test_a_label_shows_what_it_has_changed(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    ui = connect(12)
    assert "since" not in ui.nowLabel.text
    ui.nextButton.click()
    wait(lambda: module.session.state.phase == "open")
    paint_all(module.session)
    ui.submitButton.click()
    change = 100 * (dice_at(13) - dice_at(12))
    wait(lambda: ui.nowLabel.text.endswith(f", +{change:.1f} since the last label."))
    server.n = 15
    wait(lambda: ui.nowLabel.text.endswith("since the last 2 labels."))
    server.n = 14
    wait(lambda: "since" not in ui.nowLabel.text)


def test_the_change_stands_until_the_next_label(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    ui = connect(12)
    server.n = 13
    wait(lambda: "since the last label" in ui.nowLabel.text)
    newest = module.session.state.sufficiency
    wait(lambda: module.session.state.sufficiency is not newest)
    assert "since the last label" in ui.nowLabel.text


def test_without_a_gain_nothing_is_promised() -> None:
    assert next_text(None) == next_text(Payload.from_json(sufficiency(2))) == ""
    data = sufficiency(12)
    for row in data["overall"]["forecast"]:
        row["gain"] = None
    assert next_text(Payload.from_json(data)) == ""


@pytest.mark.parametrize(
    ("n", "target", "changes", "words"),
    [
        (0, 0.85, {}, "Please label 4 cases for a first forecast."),
        (2, 0.85, {}, "Please label 2 more cases"),
        (3, 0.85, {}, "Please label one more case"),
        (12, 0.7, {}, "the target of 70 points is reached"),
        (12, None, {"action": "stop", "sentence": "So."}, "hardly worth your time"),
        (12, 0.7, {"action": "stop", "because": "gain"}, "hardly worth your time"),
        (
            12,
            0.85,
            {"action": "wait", "cases": 5, "because": "gain"},
            "add little, but it is too early to stop",
        ),
        (
            12,
            0.85,
            {"action": "wait", "cases": 5, "because": "target"},
            "target seems to be reached, but it is too early",
        ),
        (
            12,
            0.85,
            {"action": "wait", "cases": 5, "because": "agreement"},
            "as two readers agree, but it is too early",
        ),
        (
            12,
            0.85,
            {"action": "wait", "cases": 5, "because": "minutes"},
            "longer than they save, but it is too early",
        ),
        (12, 0.85, {"action": "wait", "cases": 0}, "Every case has a label."),
        (2, 0.85, {"n_pool": 1}, "labels are missing: 2. Images without a label: 1. Please add images"),
        (2, 0.85, {"n_pool": 2}, "Please label 2 more cases"),
        (12, 0.85, {"n_pool": 5}, "Please label 5 more cases, then look again."),
        (12, 0.85, {"n_pool": 4}, "Please label the 4 cases that are left, then look again."),
        (12, 0.85, {"n_pool": 1}, "Please label the last case, then look again."),
    ],
)
def test_the_advice_fits_into_a_line(n: int, target: float | None, changes: dict, words: str) -> None:
    data = sufficiency(n, target)
    data["n_pool"] = changes.get("n_pool", data["n_pool"])
    data["advice"] = {**data["advice"], **{key: changes[key] for key in changes if key != "n_pool"}}
    assert words in advice_text(Payload.from_json(data))


def test_a_forecast_that_rests_on_other_tasks_says_so() -> None:
    early = {**sufficiency(12), "status": "prior_dominated", "message": "Early forecast from 12 cases."}
    assert advice_sentence(Payload.from_json(early)).endswith("Early forecast from 12 cases.")
    assert "Early" not in advice_sentence(Payload.from_json({**early, "status": "ready"}))


def test_a_training_is_seen_with_its_time_though_its_part_is_folded(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    ui = connect(12)
    assert not ui.glanceNote.isVisible()
    ui.trainButton.click()
    wait(lambda: ui.glanceNote.text == "A new model is being trained. You can go on drawing.")
    server.train_stats = {"segmentation": {"epoch": 100, "total_epochs": 400, "current_time": "0:02:00"}}
    wait(lambda: "About 6 min left" in panel_bench.said(ui.glanceNote))
    server.training = {**server.training, "status": "DONE"}
    wait(lambda: not ui.glanceNote.isVisible())


def test_what_ended_while_folded_is_gone_when_unfolded(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    server.checks = [{"image": "case_003", "sentence": "Far smaller."}]
    ui = connect(12)
    panel_bench.unfold(module, "trainingBox", "worthBox")
    ui.trainButton.click()
    wait(lambda: ui.trainingProgress.isVisible() and ui.doubtRow.isVisible())
    for box in (ui.trainingBox, ui.worthBox):
        box.setCollapsed(True)
    server.training, server.checks = {**server.training, "status": "DONE"}, []
    wait(lambda: not module.session.state.training.running and not module.session.state.sufficiency.doubts)
    panel_bench.unfold(module, "trainingBox", "worthBox")
    assert not ui.trainingProgress.isVisible() and not ui.doubtRow.isVisible()
    assert ui.trainingStatus.isVisible() and ui.worthTable.isVisible()


def test_a_training_is_said_in_time_and_effect(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    ui = connect(12)
    text = panel_bench.said(ui.trainingEffect)
    assert text.startswith("Makes a new model from your 12 labels")
    assert "Takes 1 h at most. Until then you can go on drawing." in text
    server.train_stats = {"segmentation": {"epoch": 400, "total_epochs": 400, "total_time": "0:06:00"}}
    server.training = {"status": "DONE", "request": {"model": "segmentation"}}
    module.session.training.start("segmentation")
    wait(lambda: module.session.state.training.running)
    server.training = {**server.training, "status": "DONE"}
    wait(lambda: "about 6 min, judging by the last time" in panel_bench.said(ui.trainingEffect))
    ui.stepsSpin.setValue(800)
    assert "about 12 min" in panel_bench.said(ui.trainingEffect)
    ui.trainerBox.setCurrentIndex(1)
    assert ui.trainingEffect.text.startswith("Measures the learning curve;")
    assert "30 min at most" in panel_bench.said(ui.trainingEffect)


@pytest.mark.parametrize(
    ("recipes", "since"),
    [
        (("A", "A", "A"), ", +6.0 since the last label."),
        ((None, None, None), ", +6.0 since the last label."),
        (("A", "A", "B"), "."),
        (("A", "B", "B"), "."),
        (("A", None, "A"), ", +6.0 since the last label."),
    ],
)
def test_what_another_recipe_changes_is_not_credited_to_the_last_label(
    module: object, connect: Callable, recipes: tuple, since: str
) -> None:
    ui, watch = connect(6), module.session.forecast
    watch.forget()
    for n, mean, recipe in zip((11, 12, 12), (0.80, 0.804, 0.86), recipes, strict=True):
        overall = {"now": {"mean": mean}, "forecast": []}
        answer = {"schema": 1, "status": "ready", "n_labelled": n, "overall": overall, "recipe": recipe}
        watch.take(Payload.from_json(answer))
    assert ui.nowLabel.text == f"Dice now: 86.0 points{since}"


def test_a_server_that_has_gone_is_said_beside_the_old_numbers(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    ui = connect(12)
    server.stop()
    module.session.forecast.ask()
    wait(
        lambda: "has not answered for 1 min: these numbers are from before" in panel_bench.said(ui.glanceNote)
    )


def test_labels_in_doubt_are_said_though_their_part_is_folded(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    server.checks = [{"image": "case_003", "sentence": s} for s in ("Far smaller.", "Far brighter.")]
    ui = connect(12)
    assert ui.glanceNote.text.startswith("One label is in doubt")


def test_a_strategy_comes_with_a_sentence_of_what_it_does(connect: Callable) -> None:
    ui = connect(12)
    first, second = ui.strategyWhat.text.splitlines()
    assert first == "GenDA: Bends your cases into new shapes of the same kind."
    assert second.startswith("GenSeg: Paints new images")


def test_a_strategy_that_a_training_may_be_told_says_what_it_does(connect: Callable) -> None:
    """Also one that was compared with nothing, as the session's own."""
    ui = connect(12)
    assert ui.trainingStrategyBox.currentText == "Baseline"
    assert ui.trainingStrategyWhat.text == "Shows your cases turned, scaled, brighter, darker and blurred."
    ui.trainingStrategyBox.setCurrentIndex(1)
    assert ui.trainingStrategyWhat.text == "Bends your cases into new shapes of the same kind."


def test_a_rule_for_the_next_case_says_what_it_does_while_one_is_chosen(
    module: object, connect: Callable, wait: Callable
) -> None:
    ui = connect(12)
    assert ui.nextRuleWhat.text.startswith("Random order")
    ui.ruleBox.setCurrentIndex(1)
    assert ui.nextRuleWhat.text.startswith("The case that the labelled ones explain worst")
    ui.nextButton.click()
    wait(lambda: module.session.state.phase == "open")
    assert not ui.nextRuleWhat.isVisible()


def test_enough_labels_without_a_measurement_name_the_button_to_press(
    module: object, connect: Callable, server: StubServer, wait: Callable
) -> None:
    server.measured = False
    ui = connect(5)
    assert f"press “{ui.measureButton.text}”." in ui.adviceLabel.text
    ui.measureButton.click()
    wait(lambda: server.job["state"] == "running")
    wait(lambda: ui.adviceLabel.text.startswith("The learning curve is being measured for a first forecast."))
    server.job = {"state": "idle", "message": "Cross-validation needs labels of at least two patients."}
    wait(lambda: "needs labels of at least two patients" in ui.stateLabel.text)


@pytest.mark.parametrize(
    ("trainer", "words"), [("segmentation", "model"), ("learning_curve", "learning curve")]
)
def test_a_training_is_called_by_what_it_makes(
    module: object, connect: Callable, server: StubServer, wait: Callable, trainer: str, words: str
) -> None:
    ui = connect(12)
    module.session.training.start(trainer)
    wait(lambda: module.session.state.training.running)
    said = []
    for status in ("RUNNING", "DONE", "STOPPED"):
        server.training["status"] = status
        module.session.training.look()
        wait(lambda status=status: module.session.state.training.task.status == status)
        said.append(ui.trainingStatus.text)
    assert [words in text for text in said] == [True] * 3


def test_the_servers_fixed_sentences_are_known_to_the_translations() -> None:
    from scaling_app.service.job_state import STARTING
    from scaling_app.strategies.catalogue import described
    from scaling_app.studies import next_case

    known = translations_of_the_extension.load().texts()["DataSufficiencyLib.server_words"]
    rules = next_case.RULES.values()
    said = [what for _name, _title, what in described()] + [rule(None).description for rule in rules]
    said.append(STARTING)
    of_cases = (next_case.NOTHING_COMPUTED, next_case.WORST_EXPLAINED, next_case.PICKED_AT_RANDOM)
    said += [f"{part}." for text in (next_case.SECOND_SENTENCE, *of_cases) for part in text[:-1].split(". ")]
    assert server_words.SAID_BY_THE_PANEL == (next_case.BLIND_SENTENCE, next_case.OPEN_SENTENCE)
    assert server_words.STARTING == STARTING
    assert [sentence for sentence in said if sentence not in known] == []


def test_the_panel_says_that_a_measurement_is_being_started() -> None:
    data = sufficiency(12)
    data["job"] = {"state": "running", "done": 0, "total": 0, "message": server_words.STARTING}
    assert job_text(Payload.from_json(data)) == "The measurement is being started."


@pytest.mark.parametrize("word", ["fold", "arm", "settled", "nested", "prequential"])
def test_the_panel_speaks_no_statisticians_words(word: str) -> None:
    spoken = [text for texts in translations_of_the_extension.load().texts().values() for text in texts]
    assert [text for text in spoken if word in text.lower().replace("folder", "")] == []


AGREEMENT = {
    "n_cases": 8,
    "n_readers": 2,
    "overall": {"n_cases": 7, "dice": {"mean": 0.878, "lo80": 0.842, "hi80": 0.909}},
    "p_reached": 0.4,
}


def test_what_two_readers_agree_to_stands_in_one_line_with_range_and_n() -> None:
    told = readers_text(Payload.from_json({**sufficiency(12), "agreement": AGREEMENT}))
    assert told == "Two readers agree to 88 points (80 %: 84 to 91), n = 7 cases."


@pytest.mark.parametrize(
    "agreement",
    [None, {"n_cases": 3, "overall": None}, {"n_cases": 8, "overall": {"n_cases": 8, "dice": {"mean": 0.9}}}],
)
def test_without_a_range_nothing_is_said_of_readers(agreement: dict | None) -> None:
    assert readers_text(Payload.from_json({**sufficiency(12), "agreement": agreement})) == ""
    assert readers_text(None) == ""


def test_a_stop_for_want_of_disagreement_says_why() -> None:
    stop = {"action": "stop", "cases": 0, "sentence": "As far as two readers agree.", "because": "agreement"}
    data = {**sufficiency(12, target=None), "advice": stop}
    assert advice_text(Payload.from_json(data)).endswith("about as right as two readers agree.")
    assert "hardly worth" in advice_text(Payload.from_json({**data, "advice": {**stop, "because": "gain"}}))


def test_the_line_stands_below_the_dice_of_now(module: object, connect: Callable, server: StubServer) -> None:
    server.handlers["GET", "/sufficiency/"] = lambda handler: handler.answer(
        {**sufficiency(12), "agreement": AGREEMENT}
    )
    ui = connect(12)
    assert ui.nowLabel.text.splitlines()[1].startswith("Two readers agree to 88 points")


# The table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0.82, 0.85, 0.87])
def test_level_gain_and_target_agree_as_they_are_read(target: float) -> None:
    """Rounded to whole points, a row could show the target's number before the row that says how far it is."""
    for n in range(6, 40):
        answer = Payload.from_json(sufficiency(n, target))
        rows = table_rows(answer.overall, answer.target)
        ahead = [row for row in rows if not row.dice.startswith("target")]
        levels = [float(row.dice.split()[0]) for row in ahead]
        for row, level in zip(ahead, levels, strict=True):
            enough = int(row.cases) >= answer.target.median
            assert level > 100 * target - 0.06 if enough else level < 100 * target + 0.06, rows
        now = float(now_text(ForecastState(answer)).split()[2])
        gains = [float(row.gain.split()[0]) for row in ahead]
        assert all(abs(now + gain - level) <= 0.11 for gain, level in zip(gains, levels, strict=True))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"median": 51, "lo80": 10, "hi80": None}, "+51 (10 or more)"),
        ({"median": 12, "lo80": 2, "hi80": 49}, "+12 (2 to 49)"),
        ({"median": None, "lo80": 30, "hi80": None}, "beyond 32 times the cases"),
        ({"median": 0, "lo80": 0, "hi80": 0}, "reached"),
    ],
)
def test_the_way_to_a_target_is_never_told_without_its_range(found: dict, words: str) -> None:
    data = sufficiency(12)
    data["target"]["cases"] = found
    answer = Payload.from_json(data)
    assert words in [row.cases for row in table_rows(answer.overall, answer.target)]


@pytest.mark.parametrize(
    ("dice", "words"), [(0.85, "target 85"), (0.855, "target 85.5"), (0.29, "target 29")]
)
def test_a_target_is_told_as_it_was_set(dice: float, words: str) -> None:
    answer = Payload.from_json(sufficiency(12, dice))
    assert words in [row.dice for row in table_rows(answer.overall, answer.target)]
