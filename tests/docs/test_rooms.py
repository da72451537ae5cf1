"""The picture of the rooms shows the house as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def test_the_picture_of_the_rooms_is_of_today(tmp_path: Path) -> None:
    fresh = tmp_path / "rooms.svg"
    subprocess.run([sys.executable, PICTURES / "rooms.py", "--out", fresh], check=True, timeout=60)
    assert fresh.read_text() == (PICTURES / "rooms.svg").read_text(), "run `make docs`"
    ElementTree.parse(fresh)
