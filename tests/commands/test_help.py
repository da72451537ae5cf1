"""The command line says what there is to choose from."""

from __future__ import annotations

import re

import pytest

from scaling_app import __version__
from scaling_app.commands.cli import main
from scaling_app.forecast.forecaster import METHODS
from scaling_app.imaging.network_table import NETWORKS
from scaling_app.strategies.catalogue import names
from scaling_app.studies.conf import KEYS

COMMANDS = ("demo", "serve", "init", "doctor", "backup", "restore", "replay", "forecast", "report", "preview")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def command(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["scaling-app", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    return command


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_command_it_lists_them(shown, arguments) -> None:
    lines = shown(*arguments).splitlines()
    assert all(any(line.strip().startswith(command) for line in lines) for command in COMMANDS)


def test_it_tells_its_version(shown) -> None:
    assert shown("--version") == f"scaling-app {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_explained(shown, command) -> None:
    options = shown(command, "--help").partition("Options:")[2]
    for option in re.split(r"\n(?=  --)", options)[1:]:
        without_type = re.sub(r"^\s*--\S+( <[^>]*>)?|\[(default|required)[^]]*\]", "", option)
        assert len(re.findall(r"[A-Za-z]+", without_type)) >= 2, option


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        ("serve", [key.name for key in KEYS]),
        ("forecast", METHODS),
        ("replay", [*names(), *NETWORKS]),
        ("preview", names()),
    ],
)
def test_what_can_be_chosen_is_listed(shown, command, choices) -> None:
    words = set(re.findall(r"[\w+]+", shown(command, "--help")))
    assert set(choices) <= words


def test_a_replay_takes_the_minutes_that_the_server_takes(shown, monkeypatch, tmp_path) -> None:
    given = {}
    monkeypatch.setattr("scaling_app.experiments.replay.replay", lambda *folders, **more: given.update(more))
    arguments = (
        "replay",
        "--images",
        str(tmp_path),
        "--labels",
        str(tmp_path),
        "--sizes",
        "2",
        "--out",
        "r.csv",
    )
    shown(*arguments)
    assert given["max_minutes"] is None
    shown(*arguments, "--max-minutes", "7.5")
    assert given["max_minutes"] == 7.5
    assert given["memory_gb"] is None
    shown(*arguments, "--memory-gb", "0.5")
    assert given["memory_gb"] == 0.5
