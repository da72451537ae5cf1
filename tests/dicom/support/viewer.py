"""The OHIF viewer as it comes with MONAI Label: its requests, byte for byte what its client makes of them.

Version 3 is the one in MONAI Label 0.8.5; `two` marks what version 2 does otherwise. What it does with an answer is
here, too, as far as it decides whether a radiologist sees the truth.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import requests


@dataclass
class Viewer:
    """A page of the server, open in a browser."""

    base: str

    def __post_init__(self) -> None:
        self.http = requests.Session()
        self.http.headers.update(
            {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": self.base}
        )

    def info(self, *, two: bool = False) -> dict:
        """What fills the panel."""
        return self._said("GET", "/info" if two else "/info/").json()

    def next_sample(self, strategy: str = "random", **params: object) -> dict:
        """The button "Next Sample"."""
        return self._said("POST", f"/activelearning/{strategy}", json=params).json()

    def update_model(self, **options: dict) -> requests.Response:
        """The button "Update Model"; options by trainer, as its dialog has them."""
        return self._ask("POST", "/train/", json=options)

    def is_training(self, *, two: bool = False) -> bool:
        """What decides whether the button says "Stop Training"."""
        answer = self._ask("GET", "/train" if two else "/train/", params={"check_if_running": "true"})
        return answer.status_code == 200 and answer.json()["status"] == "RUNNING"

    def stop_training(self) -> requests.Response:
        """The button "Stop Training"."""
        return self._said("DELETE", "/train/")

    def segment(self, image: str, *, two: bool = False) -> np.ndarray:
        """The button "Run" of a model: the voxels as the viewer takes them up, columns first."""
        params = {
            "result_extension": ".nrrd",
            "result_dtype": "uint16" if two else "uint8",
            "result_compress": False,
            "restore_label_idx": False,
        }
        header, voxels = self.infer(image, params).content.split(b"\n\n", 1)
        fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
        assert fields["encoding"] == "raw"  # what is packed, it takes for 16 bits a voxel
        sizes = [int(size) for size in fields["sizes"].split()]
        return np.frombuffer(voxels, "<u2" if two else np.uint8).reshape(sizes, order="F")

    def infer(self, image: str, params: dict, output: str = "image") -> requests.Response:
        """The request behind it."""
        said = {"params": (None, json.dumps(params))}
        return self._said(
            "POST", "/infer/segmentation", params={"image": image, "output": output}, files=said
        )

    def submit(self, image: str, voxels: np.ndarray, names: dict[str, int]) -> dict:
        """The button "Submit Label", whose voxels come without a header."""
        tissue = {
            "CodeValue": "T-D0050",
            "CodingSchemeDesignator": "SRT",
            "CodeMeaning": "Tissue",
        }
        segments = [
            {
                "id": f"0+{value}",
                "color": [128, 174, 128, 255],
                "labelmapIndex": 0,
                "name": name,
                "segmentIndex": value,
                "description": "",
                "meta": {"SegmentedPropertyCategoryCodeSequence": tissue, "SegmentLabel": name},
            }
            for name, value in names.items()
        ]
        parts = {
            "params": (None, json.dumps({"label_info": segments})),
            "label": ("label.bin", voxels.tobytes(order="F"), "application/octet-stream"),
        }
        return self._said("PUT", "/datastore/label", params={"image": image}, files=parts).json()

    def dicom(self, path: str, **params: str) -> requests.Response:
        """What the viewer's data source asks."""
        return self._said("GET", f"/proxy/dicom/{path}", params=params)

    def store(self, instance: bytes) -> requests.Response:
        """The button "Export DICOM SEG", whose Segmentation goes to the DICOM server."""
        head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
        return self._said(
            "POST",
            "/proxy/dicom/wado/studies",
            data=head + instance + b"\r\n--x--",
            headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'},
        )

    def _said(self, method: str, path: str, **said: object) -> requests.Response:
        answer = self._ask(method, path, **said)
        assert answer.ok, f"{answer.status_code} {answer.url} {answer.text}"
        return answer

    def _ask(self, method: str, path: str, **said: object) -> requests.Response:
        return self.http.request(method, f"{self.base}{path}", timeout=180, **said)
