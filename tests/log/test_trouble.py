"""A trouble that does not end the work is told when it begins, and again when it comes back."""

from __future__ import annotations

import logging

import pytest

from scaling_app.log.trouble import Trouble


def test_a_trouble_is_told_once_while_it_lasts_and_anew_when_it_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = Trouble(logging.getLogger("disk"))
    assert not trouble.over()
    for size in (1, 2):
        trouble.tell("no room for %d GB", size)
    assert trouble.over() and not trouble.over()
    trouble.tell("no room for %d GB", 3)
    assert caplog.messages == ["no room for 1 GB", "no room for 3 GB"]
