"""A DICOM server that fails in the middle of something: nothing acknowledged is lost, and what failed is said."""

from __future__ import annotations

import gzip
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from monailabel.config import settings
from orthanc import Orthanc
from wire import Wire, certificate, cut_after, wire_to

from benchmarks.common.made_series import make_series
from scaling_app.imaging.geometry import read_label
from scaling_app.monai_app.dicom.connection import PacsError
from scaling_app.monai_app.dicom.pacs import UNSURE, Pacs

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

pytestmark = pytest.mark.slow_processes


def port_of(orthanc: Orthanc) -> int:
    """Where Orthanc listens."""
    return int(orthanc.base.rsplit(":", 1)[1])


@pytest.fixture
def wire(orthanc: Orthanc) -> Iterator[Wire]:
    """The way to the test's Orthanc; the wards ask there."""
    with wire_to(port_of(orthanc)) as wire:
        yield wire


@pytest.fixture
def ward(orthanc: Orthanc, ward_of: Callable, wire: Wire):
    """A label server whose DICOM server is reached by the wire; one series is there."""
    image = orthanc.send(make_series())
    ward = ward_of()
    ward.store.pacs = Pacs(f"http://127.0.0.1:{wire.port}/dicom-web")
    ward.image, ward.before = image, ward.draw(image, value=2)
    ward.submit(image, ward.before)
    return ward


def unchanged(ward) -> bool:
    """Whether the label before counts, here and in the ledger."""
    (case,) = ward.studies.ledger.cases()
    return case.annotator == "anna" and np.array_equal(
        ward.label(ward.image), read_label(ward.before)[0].numpy()
    )


def arrives(orthanc: Orthanc, ward) -> Path:
    """A label that is saved, and acknowledged, and there; its file."""
    file = ward.draw(ward.image)
    ward.submit(ward.image, file, client_id="berta")
    assert ward.store.problems == () and len(orthanc.segmentations()) == 2
    return file


def test_a_label_whose_upload_is_cut_halfway_is_refused_and_named_until_it_is_sent_again(
    orthanc, ward, wire, caplog
) -> None:
    wire.fault = cut_after(2000, up=True)
    file = ward.draw(ward.image)
    with pytest.raises(PacsError, match="was cut") as refused:
        ward.submit(ward.image, file, client_id="berta")
    assert refused.value.outcome == UNSURE  # nobody could be asked
    assert unchanged(ward) and len(orthanc.segmentations()) == 1
    (said,) = [problem.sentence for problem in ward.store.problems]
    assert "A label by berta" in said and "was not stored" in said and "send it again" in said
    assert (
        "was not stored" in caplog.text and "berta" not in caplog.text and str(refused.value) in caplog.text
    )
    wire.fault = lambda piece, up: piece
    ward.submit(ward.image, file, client_id="berta")
    ward.look()
    assert ward.store.problems == () and len(orthanc.segmentations()) == 2
    assert np.array_equal(ward.label(ward.image), read_label(file)[0].numpy())


def test_a_label_whose_acknowledgement_is_cut_counts_once_the_server_says_that_it_holds_it(
    orthanc, ward, wire
) -> None:
    cuts = []

    def lose_one_answer(piece: bytes, up: bool) -> bytes | None:
        if not up and not cuts and b"ReferencedSOPSequence" in piece + b"ReferencedSOPSequence":
            cuts.append(piece)
            return None
        return piece

    wire.fault = lose_one_answer
    file = arrives(orthanc, ward)
    assert cuts
    ward.look()
    assert np.array_equal(ward.label(ward.image), read_label(file)[0].numpy())
    assert ward.studies.ledger.cases()[0].annotator == "berta"


def test_a_label_is_sent_again_where_a_server_that_is_well_cut_the_connection(orthanc, ward, wire) -> None:
    cuts = []

    def cut_once(piece: bytes, up: bool) -> bytes | None:
        if up and b"POST" in piece and not cuts:
            cuts.append(piece)
            return None
        return piece

    wire.fault = cut_once
    arrives(orthanc, ward)
    assert cuts
    cuts.clear()
    wire.fault = lambda piece, up: None if not cuts and not cuts.append(piece) else piece
    ward.look()  # a question is asked again, too
    assert cuts and ward.store.problems == () and ward.store.is_answering


def test_a_label_that_arrived_though_nobody_could_say_so_is_found_at_the_next_look(
    orthanc, ward, wire
) -> None:
    wire.fault = cut_after(0, up=False)
    file = ward.draw(ward.image)
    with pytest.raises(PacsError) as refused:
        ward.submit(ward.image, file, client_id="berta", minutes=7)
    assert refused.value.outcome == UNSURE and unchanged(ward)
    wire.fault = lambda piece, up: piece
    ward.look()
    (case,) = ward.studies.ledger.cases()
    assert (case.annotator, case.minutes) == ("berta", 7) and ward.store.problems == ()
    assert np.array_equal(ward.label(ward.image), read_label(file)[0].numpy())


def test_a_server_that_is_killed_while_labels_are_sent_holds_all_that_were_acknowledged(
    orthanc, ward
) -> None:
    file = ward.draw(ward.image)
    os.kill(orthanc.process.pid, signal.SIGSTOP)  # it stands still, then it is gone
    settings_before = settings.MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT
    try:
        settings.MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT = 1.0
        with pytest.raises(PacsError, match="did not answer in time"):
            ward.submit(ward.image, file, client_id="berta")
    finally:
        settings.MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT = settings_before
        orthanc.process.kill()
    orthanc.process.wait()
    ward.look()
    assert unchanged(ward)
    assert any("was not stored" in problem.sentence for problem in ward.store.problems)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_bodies_of_any_kind_come_whole_or_are_refused(packed: bool, chunked: bool, cut: bool) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    body = b"[]" + b" " * 300_000 + os.urandom(200_000).hex().encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = gzip.compress(body) if packed else body
            self.send_response(200)
            if packed:
                self.send_header("Content-Encoding", "gzip")
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            sent = sent[: len(sent) // 2] if cut else sent
            if not chunked:
                self.wfile.write(sent)
            else:
                for at in range(0, len(sent), 70_000):
                    piece = sent[at : at + 70_000]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"" if cut else b"0\r\n\r\n")
            self.close_connection = cut

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        pacs = Pacs(f"http://127.0.0.1:{server.server_port}")
        if cut:
            with pytest.raises(requests.RequestException):
                pacs._session.get(pacs.url)
        else:
            for _ in range(2):  # the connection is used again
                assert pacs._session.get(pacs.url).content == body
    finally:
        server.shutdown()
        server.server_close()


def test_https_with_a_password_works_and_a_certificate_that_is_not_right_is_named(
    orthanc, tmp_path: Path, monkeypatch
) -> None:
    image = orthanc.send(make_series())
    cases = {
        "has expired: renew it there": {"days": -1},
        "is for another address": {"name": "127.0.0.9"},
        "is by an authority not known here": {},
        None: {},
    }
    for said, kind in cases.items():
        tls, file = certificate(tmp_path, **kind)
        if said and "authority" in said:
            monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        else:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
        with wire_to(port_of(orthanc), tls) as wire:
            pacs = Pacs(f"https://127.0.0.1:{wire.port}/dicom-web")
            if said is None:
                assert list(pacs.images()) == [image]
            else:
                with pytest.raises(PacsError, match=re.escape(said)):
                    pacs.images()


def test_two_servers_that_save_one_case_at_once_agree_in_the_end(orthanc, ward_of) -> None:
    image = orthanc.send(make_series())
    wards = ward_of("one"), ward_of("two")
    sent: list[np.ndarray] = []

    def save(ward, reader: str, value: int) -> None:
        file = ward.draw(image, value=value)
        sent.append(read_label(file)[0].numpy())
        for _ in range(3):
            ward.submit(image, file, client_id=reader, label_info=[{"name": "liver", "idx": value}])
            ward.store.refresh()

    threads = [
        threading.Thread(target=save, args=(ward, reader, value))
        for ward, reader, value in zip(wards, ("anna", "berta"), (1, 2), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(orthanc.segmentations()) == 6  # each that was acknowledged is there
    for ward in wards:
        ward.look()
    one, two = (ward.label(image) for ward in wards)
    assert np.array_equal(one, two) and any(np.array_equal(one, voxels) for voxels in sent)
    readers = {case.annotator for ward in wards for case in ward.studies.ledger.cases()}
    assert len(readers) == 1 and not any(ward.store.problems for ward in wards)
