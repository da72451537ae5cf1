"""The log names no image and no patient, and holds no secret, whoever writes it."""

from __future__ import annotations

import io
import logging
import time
import urllib.parse
from collections.abc import Callable, Iterator

import jwt
import pytest
from monailabel.config import settings

from scaling_app.log import veil as log_veil
from scaling_app.log.veil import Veil, hang, hide_secrets_at_start, secrets_of, veil_at

NAMES = ("Doe_John_1961", "Müller Änne (T1)", "sub-07_T1w", "sub-07", "1.2.840.113619.2.55", "MRN0042")
TOKEN = jwt.encode({"sub": "reader"}, "a secret of at least thirty-two bytes", algorithm="HS256")


@pytest.fixture
def written(tmp_path, monkeypatch) -> Iterator[tuple[logging.Logger, Callable[[], str]]]:
    """A logger behind the veil, and what it wrote."""
    for name in ("uvicorn", "uvicorn.access"):  # as another test may have left them
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    sink, logger, root = io.StringIO(), logging.getLogger("uvicorn.access"), logging.getLogger()
    handler = logging.StreamHandler(sink)
    handler.setFormatter(logging.Formatter("[12:00:00,042] %(levelname)s - %(message)s"))
    root.addHandler(handler)
    shown, level = {h: h.formatter for h in root.handlers}, logger.level
    logger.setLevel("INFO")
    monkeypatch.setattr(log_veil.threading, "excepthook", None)
    veil = veil_at(
        tmp_path, secrets_of({**settings.model_dump(), "MONAI_LABEL_DATASTORE_PASSWORD": "Tr0ub4dor"})
    )
    hang(veil)
    veil.learn(NAMES)
    yield logging.getLogger("any.library"), sink.getvalue
    root.removeHandler(handler)
    logging.captureWarnings(False)
    for other, formatter in shown.items():
        other.setFormatter(formatter)
    logger.setLevel(level)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_not_said_however_it_is_written(written, name) -> None:
    logger, text = written
    ways = [
        name,
        urllib.parse.quote(name),
        urllib.parse.quote_plus(name),
        repr({"image": name}),
        f"/data/{name}.nii.gz",
    ]
    for way in ways:
        logger.warning("Stored the label of %s; next: %s_seg", way, way)
        logger.warning({"image": way, "path": f"/studies/labels/final/{way}.seg.nrrd"})
    try:
        raise ValueError(f"{name} cannot be read")
    except ValueError:
        logger.exception("It ended")
    said = text()
    assert not [way for way in (*ways, name) if way in said], said
    assert "Traceback" in said and said.count("case-") >= 20 and said.count("[12:00:00,042]") == 11


def test_what_only_looks_like_a_file_of_images_is_not_named_either(written) -> None:
    logger, text = written
    logger.warning(
        "/data/new/Roe-Jane.nii.gz, 'Roe-Jane.nrrd' and Roe-Jane.mha came; main.py and 3.5 cases did not"
    )
    assert "Roe" not in text() and "main.py and 3.5 cases" in text() and text().count(".nii.gz") == 1


def test_a_series_that_nobody_has_heard_of_is_not_named_either(written) -> None:
    logger, text = written
    uid, known = "1.2.826.0.1.3680043.8.498.12857995849524220884", "1.2.840.10008.5.1.4.1.1.66.4"
    logger.warning(
        "The series %s is left out. Asked: http://pacs/studies/%s/series/%s.%s", uid, uid, uid, "1"
    )
    logger.warning("SOP class %s, version 0.1.0, from 192.168.100.100:8042, 1.2.3.4.5", known)
    assert uid not in text() and text().count("case-") == 3
    assert f"{known}, version 0.1.0, from 192.168.100.100:8042, 1.2.3.4.5" in text()


def test_who_may_ask_for_names_is_told_those_of_unknown_series_but_not_without_end(written) -> None:
    veil = Veil(b"k" * 16)
    lines = [veil.over(f"series 1.2.826.0.1.3680043.8.498.{number}") for number in range(1000)]
    meant = veil.names()
    assert all(meant[line.removeprefix("series ")].endswith(f".{n}") for n, line in enumerate(lines))
    assert len(meant) < log_veil._MOST_UIDS


def test_other_words_stay_as_they_are(written) -> None:
    logger, text = written
    said = "sub-071 and Doe_John_19610 are no names; 12 cases, Dice 0.81; http://127.0.0.1:8000 (case 042)"
    logger.warning(said)
    assert said in text()


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {TOKEN}",
        f"a claim {TOKEN} was wrong",
        f"GET /info/?access_token={TOKEN}&x=1",
        f"{{'password': '{TOKEN}'}}",
        f'{{"access_token": "{TOKEN}"}}',
        f"client_secret={TOKEN}",
        f"http://reader:{TOKEN}@pacs:8042/dicom-web",
        "export MONAI_LABEL_DATASTORE_PASSWORD=Tr0ub4dor",
        "Tr0ub4dor",
    ],
)
def test_secrets_are_not_said(written, line) -> None:
    logger, text = written
    logger.warning(line)
    assert TOKEN.split(".")[2] not in text() and "Tr0ub4dor" not in text() and "***" in text()


def test_the_code_with_which_a_training_ended_is_no_secret_and_that_of_a_sign_in_is(written) -> None:
    logger, text = written
    for line in ("Return code: -9", "exit code 137, code=0", '{"code": 502, "detail": 1}', "Return code: 0."):
        logger.warning(line)
        assert line in text()
    logger.warning("GET /callback?code=4711 HTTP/1.1; code: 12-fbd0f3; 'code': '123abc'")
    assert "?code=*** " in text() and "fbd0f3" not in text() and "123abc" not in text()


@pytest.mark.parametrize("name", ["monailabel.main", "monailabel.interfaces.utils.app"])
def test_the_options_of_a_start_are_told_without_their_secrets(caplog, name) -> None:
    """They are told before a veil hangs: the password of an MLflow store had stood in the log."""
    caplog.set_level("INFO")
    hide_secrets_at_start()
    told = {"mlflow": "http://anna:Tr0ub4dor@mlflow:5000/?token=Tr0ub4dor", "labels": "organ"}
    logging.getLogger(name).info(f"conf: {told}; ssl_keyfile_password = Tr0ub4dor")
    (said,) = [record.getMessage() for record in caplog.records]
    assert "Tr0ub4dor" not in said and "anna:***@mlflow:5000" in said and "organ" in said


def test_addresses_that_were_asked_for_keep_their_path_alone(written) -> None:
    _, text = written
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d',
        "127.0.0.1:5",
        "GET",
        f"/datastore/image?image=Who&access_token={TOKEN}",
        "1.1",
        200,
    )
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "POST", "/sufficiency/case/sub-07_T1w", "1.1", 200
    )
    assert '"GET /datastore/image?... HTTP/1.1" 200' in text() and '"POST /sufficiency/case/case-' in text()


def test_nobody_writes_lines_of_his_own(written) -> None:
    logger, text = written
    logger.warning("no image %s", "x\r\n[12:00:00,042] ERROR - all is lost")
    assert len([line for line in text().splitlines() if line.startswith("[12:")]) == 1


def test_a_name_has_one_pseudonym_that_nobody_can_compute_without_the_key(tmp_path) -> None:
    veil, again, other = veil_at(tmp_path), veil_at(tmp_path), Veil(bytes(16))
    assert veil.pseudonym("MRN0042") == again.pseudonym("MRN0042") != other.pseudonym("MRN0042")
    assert (tmp_path / log_veil.KEY_FILE).stat().st_mode & 0o077 in (0, 0o044)
    veil.learn(["MRN0042", "x"])
    assert veil.names() == {veil.pseudonym("MRN0042"): "MRN0042"}


def test_a_long_line_over_many_names_costs_little() -> None:
    veil = Veil(bytes(16))
    veil.learn(f"sub-{number:05d}_T1w" for number in range(20_000))
    line = " ".join(f"case {number} of sub-{number:05d}_T1w" for number in range(200))
    began = time.process_time()
    assert "sub-" not in veil.over(line)
    assert time.process_time() - began < 0.2


def test_warnings_and_threads_that_end_with_an_error_go_through_it(written) -> None:
    import threading
    import warnings

    _, text = written

    def end() -> None:
        raise ValueError("sub-07_T1w is odd")

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    warnings.warn("sub-07_T1w has no units", stacklevel=1)
    assert "sub-07" not in text() and " is odd" in text() and " has no units" in text()
