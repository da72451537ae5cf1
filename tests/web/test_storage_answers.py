"""Whatever the server's disk answers, a client gets 507 or 503 and a sentence."""

from __future__ import annotations

import errno
import os

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from scaling_app.web.storage_answers import answer_storage_errors

FULL = ("ENOSPC", "EDQUOT", "EFBIG")
UNABLE = (
    "EROFS", "EACCES", "EPERM", "EIO", "ESTALE", "ENODEV", "EMFILE", "ENFILE", "EISDIR", "ENOTDIR", "EEXIST", "ELOOP",
    "ENOLCK", "ETIMEDOUT", "EUCLEAN", "EREMOTEIO", "ENAMETOOLONG", "EBUSY", "ENOTCONN", "ENOENT", "EINVAL",
)  # fmt: skip


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("name", [*FULL, *UNABLE])
def test_every_error_of_a_disk_is_answered_with_a_sentence(name: str, named: bool):
    number = getattr(errno, name)
    server = FastAPI()

    @server.put("/label")
    def save() -> None:
        raise OSError(number, os.strerror(number), *(["/studies/labels/final/case_1.nrrd"] if named else []))

    answer_storage_errors(server)
    answer = TestClient(server, raise_server_exceptions=False).put("/label")
    assert answer.status_code == (507 if name in FULL else 503)
    said = answer.json()["detail"]
    assert "nothing was changed" in said and os.strerror(number) in said
    assert "/studies" not in said and ("case_1.nrrd" in said) == named
