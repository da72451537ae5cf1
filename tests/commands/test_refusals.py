"""Bad input ends with exit status 2 and one line that says what is wrong; nothing is written."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from scaling_app.commands import launch
from scaling_app.commands.cli import main
from scaling_app.studies.conf import read_conf

REPLAY = ["replay", "--images", ".", "--labels", ".", "--sizes", "2", "--out", "r.csv"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["scaling-app", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command


def a_curve(path: Path, text: str = "n,dice\n4,0.7\n8,0.75\n16,0.8\n") -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve", "--studies", "missing"], "does not exist: missing"),
        (["serve", "--studies", ".", "--conf", "lables", "liver"], "did you mean labels"),
        (["serve", "--studies", ".", "--conf", "strategy", "magic"], "--conf strategy 'magic'"),
        (["serve", "--studies", ".", "--conf", "network", "vgg"], "--conf network 'vgg'"),
        (["serve", "--studies", ".", "--conf", "target", "-0.5"], "--conf target '-0.5'"),
        (["serve", "--studies", ".", "--conf", "target"], "--conf target"),
        (["serve", "--studies", ".", "--conf", "network", ""], "--conf network ''"),
        (["serve", "--studies", ".", "--port", "0"], "--port"),
        (["forecast", "missing.csv", "--at", "8"], "missing.csv"),
        (["forecast", "curve.csv"], "Missing option '--at'"),
        (
            ["replay", "--images", "a", "--labels", "b", "--sizes", "2", "--out", "r.csv"],
            "--images is not a folder",
        ),
        (["replay", "--images", ".", "--labels", ".", "--sizes", "two", "--out", "r.csv"], "--sizes must be"),
        (
            [
                "replay",
                "--images",
                ".",
                "--labels",
                ".",
                "--sizes",
                "2",
                "--out",
                "r.csv",
                "--max-minutes",
                "0.01",
            ],
            "--max-minutes '0.01': a number of minutes from 0.05 to 10080",
        ),
        (
            [*REPLAY, "--memory-gb", "0.1"],
            "--memory-gb '0.1': a number between 0.25 and 4096 is wanted",
        ),
        ([*REPLAY, "--sizes", "²"], "--sizes must be whole numbers separated by commas, but is '²'"),
        ([*REPLAY, "--sizes", "٣"], "--sizes must be whole numbers separated by commas, but is '٣'"),
        (
            ["serve", "--studies", ".", "--conf", "memory_gb", "5000"],
            "a number between 0.25 and 4096 is wanted",
        ),
        (
            ["serve", "--studies", ".", "--conf", "max_minutes", "nan"],
            "a number of minutes from 0.05 to 10080",
        ),
        (["preview", "--images", "nowhere", "--labels", "."], "--images is not a folder"),
        (["report", "missing.csv"], "no such file: missing.csv"),
        (["report", "."], "not a file: ."),
        (["forecast", "missing.csv", "--at", "9" * 20], "numbers of cases from 1 to"),
        (["serve", "--studies", ".", "--host", "no.such.example.invalid"], "choose another --host"),
        (["demo", "--data", "nowhere"], "images/ and labels/"),
        (["demo", "--cases", "2"], "--cases"),
        (["serf"], "Did you mean 'serve'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_in_one_line(run, tmp_path: Path, arguments: list[str], says: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert [p.name for p in tmp_path.rglob("*.csv")] == []


def test_a_port_in_use_is_refused(run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, _, err = run("serve", "--studies", str(tmp_path), "--port", str(taken.getsockname()[1]))
    assert status == 2
    assert "choose another --port" in err


@pytest.mark.parametrize("target", ["-0.1", "0", "1", "85"])
def test_a_target_outside_0_to_1_is_refused(run, tmp_path: Path, target: str) -> None:
    status, _, err = run("forecast", a_curve(tmp_path / "c.csv"), "--at", "32", "--target", target)
    assert status == 2
    assert "between 0 and 1" in err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n,dice\n",
        "n,score\n4,0.5\n",
        "n,dice\nfour,0.5\n",
        "n,dice\n4,85\n",
        "n,dice\n0,0.5\n",
        "n,dice,dice\n4,0.5,0.6\n",
    ],
)
def test_an_unusable_curve_is_refused(run, tmp_path: Path, text: str) -> None:
    status, out, err = run("forecast", a_curve(tmp_path / "c.csv", text), "--at", "32")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1


RUNS = "dataset,network,strategy,n,draw,case,structure,dice\nd,resunet,none,2,0,c,s,0.5\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (RUNS.encode("utf-16"), "neither a table (CSV, UTF-8) nor a ledger"),
        (b"n,dice\n2,0.5\n", "scaling-app forecast"),
        ((RUNS + RUNS.splitlines()[1] + "\n").encode(), "line 3 repeats line 2"),
    ],
    ids=["not UTF-8", "a curve", "a row twice"],
)
def test_a_table_that_makes_no_report_is_refused(run, tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "runs.csv").write_bytes(text)
    status, out, err = run("report", "runs.csv")
    assert (status, out) == (2, "")
    assert says in err and "runs.csv" in err
    assert len(err.splitlines()) == 1


def test_a_report_does_not_replace_what_it_is_made_from(run, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text(RUNS)
    (tmp_path / "link.html").symlink_to(table)
    for out in ("runs.csv", str(table), "../" + tmp_path.name + "/runs.csv", "link.html"):
        status, _, err = run("report", "runs.csv", "--out", out)
        assert status == 2
        assert "choose another --out" in err
    assert table.read_text() == RUNS


def test_an_output_that_cannot_be_written_is_named(run, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(RUNS)
    (tmp_path / "folder").mkdir()
    for out in ("folder", "runs.csv/report.html"):
        status, _, err = run("report", "runs.csv", "--out", out)
        assert status == 2
        assert "cannot use" in err and "Errno" not in err


def test_a_file_is_no_app_folder_and_no_studies_folder(run, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    (tmp_path / "studies").mkdir()
    for arguments in (
        ["init", "thesis.txt"],
        ["serve", "--studies", "thesis.txt"],
        ["serve", "--studies", "studies", "--app", "thesis.txt"],
    ):
        status, _, err = run(*arguments)
        assert status == 2
        assert "thesis.txt" in err and "folder" in err and "Errno" not in err
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_an_app_folder_made_before_gets_a_new_readme_and_keeps_what_is_in_it(run, tmp_path: Path) -> None:
    run("init", "app")
    edited = "# edited\n" + (tmp_path / "app" / "main.py").read_text()
    (tmp_path / "app" / "main.py").write_text(edited)
    (tmp_path / "app" / "README.md").write_text("old")
    (tmp_path / "app" / "model").mkdir()
    assert run("init", "app")[0] == 0
    assert (tmp_path / "app" / "main.py").read_text() == edited
    assert (tmp_path / "app" / "README.md").read_text() != "old"
    assert (tmp_path / "app" / "model").is_dir()


def test_init_makes_a_folder_that_can_be_made_again_but_spares_others(run, tmp_path: Path) -> None:
    assert run("init", "app")[0] == 0
    assert "ScalingApp" in (tmp_path / "app" / "main.py").read_text()
    assert run("init", "app")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    status, _, err = run("init", "mine")
    assert status == 2
    assert "not empty" in err
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == ["thesis.txt"]


def test_an_empty_value_is_one_that_the_options_understand(run, monkeypatch, tmp_path: Path) -> None:
    given: list[dict[str, str]] = []
    monkeypatch.setattr(launch, "serve", lambda *_, conf, **__: given.append(conf) or 0)
    assert run("serve", "--studies", ".", "--conf", "compare", "", "--conf", "labels=")[0] == 0
    assert given == [{"compare": "", "labels": ""}]
    read = read_conf(given[0], app_dir=tmp_path, studies=".")
    assert (read.compare, read.labels) == ((), None)
