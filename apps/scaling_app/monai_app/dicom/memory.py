"""What was learnt of a DICOM server, kept beside the copies: a restart asks only for what is new."""

from __future__ import annotations

import gzip
import json
import logging
import threading
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel
from pydicom.dataset import Dataset

from scaling_app.monai_app.dicom.pacs import SegmentationFacts, SeriesFacts
from scaling_app.storage import whole_file, write_whole_text

logger = logging.getLogger(__name__)

NAME = "pacs.json"

_DAMAGED = (EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading a file raises that is not what was written."""


class _Told(BaseModel, strict=True):
    """What is written down. Reading checks the kind of each fact: one of another kind would end a later look with an error."""

    images: Mapping[str, SeriesFacts]
    judged: dict[str, str]
    segmentations: dict[str, tuple[int, tuple[SegmentationFacts, ...]]]


class PacsMemory:
    """What is known of the series and Segmentations of a server; any thread may ask and tell.

    Args:
        folder: where it is kept.

    Attributes:
        images: the series that are served or were found unfit, by their UID; set as a whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: Mapping[str, SeriesFacts] = {}
        self._judged: dict[str, str] = {}
        self._segmentations: dict[str, tuple[int, tuple[SegmentationFacts, ...]]] = {}
        self._telling, self._keeping = threading.Lock(), threading.Lock()
        self._told = self._kept = 0

    @classmethod
    def read(cls, folder: Path) -> PacsMemory:
        """As it was kept; empty where there is none, or what there is cannot be read."""
        memory = cls(folder)
        try:
            told = _Told.model_validate_json((folder / NAME).read_bytes())
            memory.images, memory._judged = told.images, told.judged
            memory._segmentations = told.segmentations
        except FileNotFoundError:
            pass
        except (OSError, *_DAMAGED) as error:
            logger.warning(
                "What was known of the DICOM server cannot be read and is asked for anew: %s", error
            )
            return cls(folder)
        return memory

    def keep(self) -> None:
        """Writes down what is new since the last time.

        Raises:
            OSError: it cannot be written.
        """
        with self._keeping:
            with self._telling:
                state = self._told
                told = _Told.model_construct(
                    images=self.images, judged=dict(self._judged), segmentations=dict(self._segmentations)
                )
            if state == self._kept:
                return
            write_whole_text(self.folder / NAME, told.model_dump_json())
            self._kept = state

    def take_images(self, images: Mapping[str, SeriesFacts]) -> None:
        """These are the series that there are."""
        with self._telling:
            self.images = dict(images)
            self._told += 1

    def judge(self, image: str, sentence: str) -> None:
        """What speaks against a series, or an empty text."""
        with self._telling:
            self._judged[image] = sentence
            self._told += 1

    def judged(self) -> dict[str, str]:
        """Series whose headers were looked at, by their UID: what speaks against them, or an empty text."""
        with self._telling:
            return dict(self._judged)

    def note(self, series: str, instances: int, found: Iterable[SegmentationFacts]) -> None:
        """The Segmentations of a series of such, by its UID, with the number of its instances."""
        with self._telling:
            self._segmentations[series] = instances, tuple(found)
            self._told += 1

    def drop(self, series: str) -> None:
        """That series of Segmentations is gone."""
        with self._telling:
            self._segmentations.pop(series, None)
            self._told += 1

    def instances(self) -> dict[str, int]:
        """How many instances each series of Segmentations had, by its UID."""
        with self._telling:
            return {series: count for series, (count, _) in self._segmentations.items()}

    def has_lost(self, series: str, held: Collection[str] | None) -> bool:
        """Whether one of the Segmentations of a series is not among those that the server holds there; not where nobody knows."""
        named = {one.sop for one in self.of_series(series)} - {series}  # by it where no header could be read
        return held is not None and not named <= set(held)

    def of_series(self, series: str) -> tuple[SegmentationFacts, ...]:
        """The Segmentations of a series of such."""
        with self._telling:
            return self._segmentations.get(series, (0, ()))[1]

    def segmentations(self) -> list[SegmentationFacts]:
        """All of them."""
        with self._telling:
            return [one for _, found in self._segmentations.values() for one in found]

    def of_image(self, image: str) -> list[SegmentationFacts]:
        """The Segmentations of an image."""
        return [one for one in self.segmentations() if one.of_series == image]

    def of_path(self, path: str) -> list[SegmentationFacts]:
        """The Segmentations whose voxels a DICOMweb address hands out: those of a study, a series or an instance."""
        parts = path.split("/")
        if parts[0] != "studies" or parts[-1] in ("studies", "metadata", "series", "instances"):
            return []
        named = dict(zip(parts[::2], parts[1::2], strict=False))
        wanted = [named.get(kind) for kind in ("studies", "series", "instances")]
        return [
            one
            for one in self.segmentations()
            if all(w in (None, its) for w, its in zip(wanted, (one.study, one.series, one.sop), strict=True))
        ]

    def headers(self, image: str) -> list[Dataset] | None:
        """The headers of an image that was fetched before."""
        try:
            with gzip.open(self._header_file(image), "rt") as text:
                return [
                    Dataset.from_json(one, bulk_data_uri_handler=lambda *_: None) for one in json.load(text)
                ]
        except FileNotFoundError:
            return None
        except (OSError, *_DAMAGED) as error:
            logger.warning("The headers kept of %s cannot be read and are asked for anew: %s", image, error)
            return None

    def keep_headers(self, image: str, headers: Sequence[Dataset]) -> None:
        """Keeps the headers of an image: labels are put on its grid by them.

        Raises:
            OSError: they cannot be written.
        """
        text = json.dumps([header.to_json_dict() for header in headers])
        with whole_file(self._header_file(image)) as part:
            part.write_bytes(gzip.compress(text.encode()))

    def forget(self, image: str) -> None:
        """Drops what is known of an image's headers."""
        with self._telling:
            self._judged.pop(image, None)
            self._told += 1
        self._header_file(image).unlink(missing_ok=True)

    def _header_file(self, image: str) -> Path:
        return self.folder / ".headers" / f"{image}.json.gz"
