"""A real Orthanc on loopback, with its own port, folder and configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import requests
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from benchmarks.common.made_series import as_bytes
from scaling_app.commands.launch import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "reader", "secret of the tests"


class OrthancMissingError(RuntimeError):
    """There is no Orthanc with DICOMweb on this machine."""


@dataclass
class Orthanc:
    """A running Orthanc."""

    base: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Of its DICOMweb services."""
        return f"{self.base}/dicom-web"

    def send(self, instances: Sequence[FileDataset]) -> str:
        """Stores a series; its UID."""
        for instance in instances:
            self._post("/instances", as_bytes(instance))
        return str(instances[0].SeriesInstanceUID)

    def series(self, **wanted: str) -> list[str]:
        """Orthanc's ids of the series with these tags."""
        query = {"Level": "Series", "Query": wanted}
        return self._post("/tools/find", json.dumps(query).encode()).json()

    def delete(self, uid: str) -> None:
        """Deletes a series."""
        (found,) = self.series(SeriesInstanceUID=uid)
        requests.delete(f"{self.base}/series/{found}", auth=(USER, PASSWORD), timeout=30).raise_for_status()

    def segmentations(self) -> list[Dataset]:
        """All Segmentations that it holds."""
        return [instance for _, instance in self.new_segmentations({})]

    def new_segmentations(self, known: Container[str]) -> Iterator[tuple[str, Dataset]]:
        """The Segmentations that are not known yet, each with Orthanc's id of it."""
        for series in self.series(Modality="SEG"):
            for instance in self._get(f"/series/{series}").json()["Instances"]:
                if instance not in known:
                    yield instance, dcmread(BytesIO(self._get(f"/instances/{instance}/file").content))

    def _get(self, path: str) -> requests.Response:
        answer = requests.get(f"{self.base}{path}", auth=(USER, PASSWORD), timeout=30)
        answer.raise_for_status()
        return answer

    def _post(self, path: str, data: bytes) -> requests.Response:
        answer = requests.post(f"{self.base}{path}", data=data, auth=(USER, PASSWORD), timeout=30)
        answer.raise_for_status()
        return answer


@contextmanager
def running_orthanc(folder: Path, port: int | None = None) -> Iterator[Orthanc]:
    """Starts Orthanc on a folder and ends it on leaving.

    Raises:
        OrthancMissingError: it is not installed.
    """
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.is_file():
        raise OrthancMissingError("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    configuration = {
        "Name": "Test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomWeb": {"Enable": True},
        "SslEnabled": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        orthanc = Orthanc(f"http://127.0.0.1:{port}", process)
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None, (folder / "orthanc.log").read_text()
            try:
                orthanc._get("/system")
                break
            except requests.ConnectionError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield orthanc
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
