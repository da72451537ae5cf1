"""Infer task `segmentation`: the published model on one image, any grid in, the same grid out.

The answer's `label_names` lists the structures present in this prediction only: the stock Slicer module
gives the k-th value found in the label map the k-th name of that list, so a name too many would shift
every later structure into the wrong segment.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from fastapi import HTTPException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from scaling_app.imaging.result_kind import result_kind
from scaling_app.studies.labels.checks import count_values
from scaling_app.studies.labels.images import fault_of_file, usual_image

if TYPE_CHECKING:
    from scaling_app.studies.studies import Published, Studies
    from scaling_app.trials.model import TrainedModel

logger = logging.getLogger(__name__)

_STORED = {"uint8": np.uint8, "uint16": np.uint16}
"""What a client may ask the voxels to be stored in: the OHIF viewer reads the type that it asked for, whatever came."""


class Segmentation(InferTask):
    """Loads the model when first asked and again when another one is published; one image at a time."""

    def __init__(self, studies: Studies) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=studies.structures(),
            dimension=studies.conf.dimension or 3,
            description="Segments the structures of this task with the model trained last",
            config={"reveal": False},
        )
        self.studies = studies
        self._lock = threading.Lock()
        self._loaded: tuple[str, TrainedModel] | None = None

    def info(self) -> dict:
        """As the stock Slicer module wants it, with the structures known by now."""
        self.labels = self.studies.structures()
        return super().info()

    def is_valid(self) -> bool:
        """Whether a model has been published."""
        return self.studies.published() is not None

    def get_path(self, validate: bool = True) -> str | None:
        """The model file."""
        published = self.studies.published()
        return str(published.model_file) if published else None

    def __call__(self, request: dict) -> tuple[str | None, dict]:
        """Segments `request["image"]`.

        Returns:
            The result file (kind by `result_extension`, else the image's own, else NIfTI; NRRD where that kind
            could not say where the voxels lie; voxels as `result_dtype` and `result_compress` ask, where that is
            possible), and `label_names`, `latencies`, `model`.

        Raises:
            HTTPException: 409 before the first training; 422 when the image cannot be read, or is of another kind than
                the model's.
        """
        from scaling_app.imaging.geometry import grid_of, read_image, write_label
        from scaling_app.imaging.image_files import suffix_of
        from scaling_app.imaging.untrusted import ImageError

        published = self.studies.published()
        if published is None:
            raise HTTPException(409, "No model has been trained yet: label a few cases and press Train.")
        source = Path(request["image"])
        started = time.monotonic()
        # from its header: what no model of this task could use is not read, however large it is
        if (fault := fault_of_file(source, usual_image(self.studies.ledger))) is not None:
            raise HTTPException(422, _named(source, fault))
        try:
            image = read_image(source)
            with self._lock:
                read = time.monotonic()
                prediction = self._model(published).segment(image)
        except ImageError as error:
            raise HTTPException(422, _named(source, str(error))) from error
        segmented = time.monotonic()
        extension = result_kind(request.get("result_extension"), suffix_of(source), grid_of(image))
        handle, result = tempfile.mkstemp(suffix=extension)
        os.close(handle)
        present = count_values(np.asarray(prediction[0].cpu()))
        names = self._names(present)
        try:
            write_label(
                prediction,
                image,
                result,
                {value: name for name, value in names.items()},
                at_least=_STORED.get(str(request.get("result_dtype")), np.uint8),
                compressed=request.get("result_compress") is not False,
            )
        except BaseException:
            Path(result).unlink(missing_ok=True)
            raise
        latencies = {
            "pre": round(read - started, 3),
            "infer": round(segmented - read, 3),
            "write": round(time.monotonic() - segmented, 3),
            "total": round(time.monotonic() - started, 3),
        }
        return result, {
            "label_names": names,
            "latencies": latencies,
            "model": {
                "run": published.run_id,
                "strategy": published.strategy,
                "cases": len(published.patients),
            },
        }

    def _names(self, present: dict[int, int]) -> dict[str, int]:
        ordered = sorted(self.studies.structures().items(), key=lambda item: item[1])
        return {name: value for name, value in ordered if value in present}

    def _model(self, published: Published) -> TrainedModel:
        if self._loaded is None or self._loaded[0] != published.run_id:
            logger.info("Loading the model %s", published.model_file)
            self._loaded = None  # the old one goes before the new one comes
            model = published.load()
            if model is None:
                raise HTTPException(
                    409, "The model cannot be read by this version: press Train for a new one."
                )
            self._loaded = (published.run_id, model)
        return self._loaded[1]


def _named(image: Path, reason: str) -> str:
    """What is wrong with an image, with its name."""
    return reason if image.name in reason else f"{image.name} cannot be segmented by this model: {reason}."
