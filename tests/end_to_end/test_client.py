"""The ten lines of the client's page, as they stand there, against a real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scaling_app_client.blocking import Server
from scaling_app_client.messages import Failure

PAGE = Path(__file__).parents[2] / "client" / "README.md"


def test_ten_lines_label_a_folder(small_server, tmp_path, capsys):
    (lines,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len([line for line in lines.splitlines() if line]) <= 10
    work = tmp_path / "work"
    work.mkdir()
    drawn: list[str] = []

    def draw(image: Path) -> Path:
        assert image.stat().st_size > 0
        drawn.append(next(name for name in small_server.labels if image.name.startswith(name)))
        return small_server.labels[drawn[-1]]

    exec(lines, {"ADDRESS": small_server.base, "FOLDER": work, "draw": draw})
    assert sorted(drawn) == sorted(small_server.labels)
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.endswith("nothing in doubt")] == [
        f"{name} nothing in doubt" for name in drawn
    ]
    known = small_server.sufficiency()
    assert known["n_labelled"] == 3 and known["annotation"]["minutes_per_case"] == 7.5

    with Server(small_server.base) as server:
        server.hold(drawn[0])
        server.give_back(drawn[0])
        assert server.image(drawn[0]) and server.label(drawn[0]) == small_server.labels[drawn[0]].read_bytes()
        with pytest.raises(Failure) as caught:
            server.hold("nobody")
        assert caught.value.kind == "not_found" and "nobody" in caught.value.sentence
