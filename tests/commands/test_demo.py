"""The demonstration deletes nothing but what it made itself."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from scaling_app.commands import demo
from scaling_app.commands.demo import ServerError
from scaling_app.studies.conf import parse_labels, read_conf
from scaling_app_client.payload import SCHEMA, Curve, Interval


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder in which the user keeps work of their own."""
    (tmp_path / "out" / "work").mkdir(parents=True)
    (tmp_path / "out" / "work" / "thesis.txt").write_text("precious")
    return tmp_path / "out"


def run(out: Path, data: Path | None = None) -> None:
    demo.run_demo(data=data, out=out, n_cases=5, minutes=1)


def files_of(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def test_a_session_too_short_to_check_a_forecast_says_so_and_shows_no_empty_table() -> None:
    truth = [{"n": 6, "mean": 0.6, "half95": 0.1, "cases": 4}]
    record = demo.DemoRecord(synthetic=True, structures={"organ": 1}, truth=truth)
    assert "more --cases" in demo._outcome(record)


def test_a_forecast_is_held_against_the_model_of_as_many_cases_whatever_labels_are_in_doubt() -> None:
    """Ten labels without doubt, then fifteen of which one is: the model of fifteen labels is of fourteen cases."""
    at = {n: Interval(0.7, 0.6, 0.8, 0.5, 0.9) for n in (13, 15)} | {14: Interval(0.75, 0.74, 0.76, 0.7, 0.8)}
    curve = Curve("", at[13], (), 0.5, line=tuple(sorted(at.items())))
    truth = [{"n": 15, "in_curve": 14, "mean": 0.7, "half95": 0.1, "cases": 20}]
    record = demo.DemoRecord(
        synthetic=True, structures={"organ": 1}, truth=truth, forecasts=[demo.Forecast(10, curve, None)]
    )
    table = demo._outcome(record)
    assert [list(column.cells) for column in table.columns][2:] == [
        ["75.0 (74.0 to 76.0)"],
        ["70.0 (60.0 to 80.0), 20 cases"],
        ["no"],
    ]


def test_refused_input_changes_nothing(out: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="images/ and labels/"):
        run(out, tmp_path / "nowhere")
    assert files_of(out) == ["work/thesis.txt"] and len(list(out.iterdir())) == 1
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "new", tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()


def session_that_ends_with(error: BaseException | None):
    def session(_data: Path | None, work: Path, **_more: object) -> None:
        (work / "studies").mkdir(parents=True)
        (work / "server.log").write_text("what happened")
        if error is not None:
            raise error

    return session


def test_a_session_spares_the_users_folder_and_clears_up_its_own(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_run", session_that_ends_with(None))
    run(out)
    monkeypatch.setattr(demo, "_run", session_that_ends_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run(out)
    assert files_of(out) == ["work/thesis.txt"]


def test_the_log_of_a_server_that_failed_stays(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_run", session_that_ends_with(ServerError("no answer")))
    with pytest.raises(ServerError):
        run(out)
    kept = [name for name in files_of(out) if name.endswith("server.log")]
    assert len(kept) == 1 and "work/thesis.txt" in files_of(out)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the demonstration asks of its server, which is not started."""
    conf: dict[str, str] = {}

    class StopHereError(Exception):
        pass

    def command(*_: object, **options: dict[str, str]) -> None:
        conf.update(options["conf"])
        raise StopHereError

    monkeypatch.setattr(demo, "server_command", command)
    cases = SimpleNamespace(studies=tmp_path)

    def ask(structures: dict[str, int], minutes: float = 1.0, n_cases: int = 5) -> dict[str, str]:
        with pytest.raises(StopHereError), demo._server(tmp_path, cases, structures, minutes, n_cases, None):
            pass
        return conf

    return ask


def test_label_values_with_gaps_keep_their_meaning(asked) -> None:
    structures = {"structure_1": 1, "structure_255": 255}
    assert parse_labels(asked(structures)["labels"]) == structures


@pytest.mark.parametrize("n_cases", [5, 15, 100])
def test_the_fewest_minutes_of_a_demonstration_are_enough_for_its_server(
    asked, tmp_path: Path, n_cases: int
) -> None:
    conf = asked({"structure_1": 1}, 0.5, n_cases)
    read_conf(conf, app_dir=tmp_path / "app", studies=str(tmp_path))


class Answering(BaseHTTPRequestHandler):
    """Says that the server is up."""

    def do_GET(self) -> None:
        said = {"name": "App", "models": {}, "strategies": {}, "sufficiency": {"schema": SCHEMA}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_the_own_server_is_asked_without_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address, process = f"http://127.0.0.1:{server.server_port}", SimpleNamespace(poll=lambda: None)
        assert demo._Running(address, process, tmp_path / "log").answering(10).info.name == "App"
        server.shutdown()


def test_a_server_that_ends_at_once_is_named_with_the_last_line_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("begins\nscaling-app: --conf steps 'many' is no number\n")
    with pytest.raises(ServerError, match=r"'many' is no number \(log: "):
        demo._Running("http://127.0.0.1:9", SimpleNamespace(poll=lambda: 2), log).answering(10)
