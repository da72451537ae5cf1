"""The contract's schema and page are made from the models as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[2] / "docs" / "contract"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("contract")
    subprocess.run([sys.executable, PLACE / "contract.py", "--out", out], check=True, timeout=120)
    return out


@pytest.mark.parametrize("name", ["schema.json", "fields.md"])
def test_what_is_committed_is_what_the_models_say(fresh: Path, name: str) -> None:
    assert (fresh / name).read_text("utf-8") == (PLACE / name).read_text("utf-8"), "run `make docs`"


def test_every_field_says_what_it_means() -> None:
    rows = [line for line in (PLACE / "fields.md").read_text("utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) > 90
    assert [row for row in rows if not row.rsplit("|", 2)[1].strip()] == []
