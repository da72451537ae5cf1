"""Which process a folder was of."""

from __future__ import annotations

import pytest

from scaling_app.ledger.processes import folder_name, is_left


@pytest.mark.parametrize("name", ["host_²_0", f"host_{'9' * 5000}_0", "host_0", "host_one_0"])
def test_a_folder_of_a_name_that_no_process_gives_is_no_process_s(name: str) -> None:
    assert not is_left(name)


def test_a_folder_of_a_process_that_lives_is_not_left() -> None:
    assert not is_left(folder_name())
