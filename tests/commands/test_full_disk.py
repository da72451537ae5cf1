"""A replay that finds no room says in which folder, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling_app.commands.cli import main

from ..full_disk import files_up_to
from ..volumes import write_volumes

pytestmark = pytest.mark.slow_training


def test_a_disk_that_fills_up_while_cases_are_prepared_is_named_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_volumes(tmp_path, 4)
    monkeypatch.chdir(tmp_path)
    options = "--images images --labels labels --networks resunet --sizes 1 --test 1 --steps 1 --capacity 4 --out runs.csv"
    monkeypatch.setattr("sys.argv", ["scaling-app", "replay", *options.split()])
    with files_up_to(5_000), pytest.raises(SystemExit) as ended:
        main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 1
    assert last == (
        f"scaling-app: failed: {tmp_path / 'runs.cache'}: File too large. Free some room there, then give the same command "
        "again (-v tells more)"
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0 and len((tmp_path / "runs.csv").read_text().splitlines()) == 3
