"""The images of a DICOM server: which series there are, which of them are volumes, and the copies here.

Images are fetched when they are needed. A series that is no regular volume is named and left out, from its headers.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastoreModel
from monailabel.interfaces.exception import ImageNotFoundException
from pydicom.dataset import Dataset

from scaling_app.imaging.dicom_series import Series, SeriesError, series_of, write_volume
from scaling_app.monai_app.dicom.connection import PacsError
from scaling_app.monai_app.dicom.memory import PacsMemory
from scaling_app.monai_app.dicom.pacs import Pacs, SeriesFacts
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.monai_app.studies_index import own_entry
from scaling_app.studies.listing import MOST_NAMED, FileProblem
from scaling_app.studies.studies import FINAL

logger = logging.getLogger(__name__)

JUDGING_SECONDS = 1.0
"""At each look, for the headers of series that nobody has opened yet."""

KIND = ".nii.gz"


class DicomImages(StudiesFolder):
    """The series of a DICOM server, with their copies in a folder.

    Args:
        pacs: the server.
        folder: for the copies.
        kept_labels: replaced labels that stay here, of each image.

    Attributes:
        pacs: the server.

    Raises:
        OSError: the folder cannot be read or written.
    """

    def __init__(self, pacs: Pacs, folder: Path, *, kept_labels: int) -> None:
        self.pacs = pacs
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._memory = PacsMemory.read(folder)
        self._silent: str | None = None
        self._asked = False
        self._labelling = threading.RLock()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        super().__init__(folder, kept_labels=kept_labels)

    def name(self) -> str:
        """The server's address."""
        return self.pacs.url

    @property
    def problems(self) -> tuple[FileProblem, ...]:
        """Why the server is silent, what is left out, and what is odd about the copies."""
        found = [*self._series_left_out(), *self._labels_left_out()]
        if len(found) > MOST_NAMED:
            more = len(found) - MOST_NAMED
            found = [
                *found[:MOST_NAMED],
                FileProblem(self.name(), f"{more} more series or labels are left out."),
            ]
        silent = self._silent
        first = (
            [] if silent is None else [FileProblem(self.name(), f"{silent} Shown is what was known before.")]
        )
        return (*first, *found, *super().problems)

    def _series_left_out(self) -> list[FileProblem]:
        return [
            FileProblem(uid, f"The series {self._called(uid)} is left out: {sentence}.")
            for uid, sentence in sorted(self._memory.judged().items())
            if sentence and uid in self._memory.images
        ]

    def _labels_left_out(self) -> list[FileProblem]:
        return []

    def image_at_hand(self, image_id: str) -> str:
        """The copy of an image; an empty text where it would have to be fetched."""
        uri = super().get_image_uri(image_id)
        return uri if uri and Path(uri).is_file() else ""

    def get_image_uri(self, image_id: str) -> str:
        """The copy of an image, fetched if it is not here; an empty text where there is no such image.

        Raises:
            SeriesError: it is no regular volume; from now on it is left out.
            PacsError: the server gave no usable answer.
        """
        uri = super().get_image_uri(image_id)
        if not uri or Path(uri).is_file():
            return uri
        with self._fetching[image_id]:
            if not Path(uri).is_file():
                self._fetch(image_id, Path(uri))
        return uri

    def unfit(self, image_id: str) -> str | None:
        """Why a series is no image that could be served, from its headers; None if it is one.

        Raises:
            PacsError: the server gave no usable answer.
        """
        try:
            self._series(image_id)
        except SeriesError as error:
            return str(error)
        return None

    def add_image(self, image_id: str, image_filename: str, image_info: dict) -> str:
        """Refused: series come to the DICOM server from elsewhere.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "The studies are on a DICOM server: send the series there, and it will be listed here."
        )

    def remove_image(self, image_id: str) -> None:
        """Refused.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "The studies are on a DICOM server: delete the series there, and it will be gone here."
        )

    def datalist(self, full_path: bool = True) -> list[dict]:
        """The files of each labelled image and its label; the images are fetched.

        Raises:
            SeriesError, PacsError: as `get_image_uri`.
        """
        for image in self.get_labeled_images():
            self.get_image_uri(image)
        return super().datalist(full_path)

    def _take_series(self, images: Mapping[str, SeriesFacts]) -> None:
        """Takes up which series there are; one that has grown or shrunk is fetched and judged anew."""
        before = self._memory.images
        if images == before and set(images) - self._unfit() == set(self._datastore.objects):
            return
        for uid, facts in before.items():
            if uid not in images or facts.instances != images[uid].instances:
                self._memory.forget(uid)
                if uid in images and self._datastore.label(uid, FINAL) is not None:
                    # read anew, on the grid that the series has by now
                    self.update_label_info(uid, FINAL, {"SOPInstanceUID": ""})
                Path(super().get_image_uri(uid) or self._images() / f"{uid}{KIND}").unlink(missing_ok=True)
        self._memory.take_images(images)
        self._list_images()

    def _list_images(self) -> None:
        unfit = self._unfit()
        with self._labelling:
            for gone in set(self._datastore.objects) - (set(self._memory.images) - unfit):
                logger.info("The series %s is gone, or unfit; its label goes into the history", gone)
                for tag in self.get_labels_by_image_id(gone):
                    super().remove_label(gone, tag)
            with self._changing() as index:
                for uid in set(index.objects) - (set(self._memory.images) - unfit):
                    del index.objects[uid]
                for uid, facts in self._memory.images.items():
                    if uid in unfit:
                        continue
                    info = {
                        "name": f"{uid}{KIND}",
                        "SeriesInstanceUID": uid,
                        "StudyInstanceUID": facts.study,
                        "PatientID": facts.patient,
                        "Modality": facts.modality,
                    }
                    entry = index.objects.get(uid)
                    if entry is None:
                        model = DataModel(ext=KIND, info={**info, "ts": int(time.time())})
                        index.objects[uid] = ImageLabelModel(image=model)
                    elif not info.items() <= entry.image.info.items():
                        entry = own_entry(index, uid)
                        entry.image.info = {**entry.image.info, **info}

    def _judge(self) -> None:
        """Looks at the headers of series that nobody has opened yet, for a moment."""
        until = time.monotonic() + JUDGING_SECONDS
        judged = self._memory.judged()
        for uid, facts in self._memory.images.items():
            if uid in judged:
                continue
            if time.monotonic() > until:
                break
            with self._one_refused():
                sentence = ""
                try:
                    series_of(self.pacs.headers(facts.study, uid))
                except SeriesError as error:
                    sentence = str(error)
                    logger.warning("The series %s is left out: %s", uid, error)
                self._memory.judge(uid, sentence)
        if set(self._datastore.objects) & self._unfit():
            self._list_images()

    @contextmanager
    def _one_refused(self) -> Iterator[None]:
        """Goes on where the server answers one question with an error; the next look asks again."""
        try:
            yield
        except PacsError as error:
            if not error.answered:
                raise
            logger.warning("%s", error)

    def _series(self, image: str) -> Series:
        headers = self._memory.headers(image)
        if headers is not None:
            return series_of(headers)
        facts = self._facts(image)
        try:
            headers = self.pacs.headers(facts.study, image)
            series = series_of(headers)
        except SeriesError as error:
            raise self._left_out(image, error) from error
        self._memory.keep_headers(image, headers)
        return series

    def _left_out(self, image: str, error: SeriesError) -> SeriesError:
        """Leaves a series out from now on; what is to be said of it."""
        self._memory.judge(image, str(error))
        self._list_images()
        self._memory.keep()
        return SeriesError(f"The series {self._called(image)} is left out: {error}.")

    def _fetch(self, image: str, out: Path) -> None:
        series = self._series(image)
        try:
            self._fetch_voxels(self._facts(image), series, out)
        except SeriesError as error:
            raise self._left_out(image, error) from error

    def _fetch_voxels(self, facts: SeriesFacts, series: Series, out: Path) -> None:
        sops = [str(header.SOPInstanceUID) for header in series.headers]
        with tempfile.TemporaryDirectory() as folder:
            files = {sop: Path(folder) / f"{number}.dcm" for number, sop in enumerate(sops)}
            for instance in self.pacs.instances(facts.study, facts.uid):
                if (file := files.get(str(instance.get("SOPInstanceUID")))) is not None:
                    _save(instance, file)
            if not all(file.is_file() for file in files.values()):
                raise PacsError(
                    f"The DICOM server at {self.name()} sent a part of the series; try again later."
                )
            write_volume(series, [files[sop] for sop in sops], out)

    def _facts(self, image: str) -> SeriesFacts:
        facts = self._memory.images.get(image)
        if facts is None:
            raise ImageNotFoundException(f"Image {image} not found")
        return facts

    def _unfit(self) -> set[str]:
        return {uid for uid, sentence in self._memory.judged().items() if sentence}

    def _called(self, uid: str) -> str:
        facts = self._memory.images.get(uid)
        return f"{uid} ({facts.modality} of patient {facts.patient})" if facts else uid

    def _take_images(self, index: LocalDatastoreModel) -> Sequence[FileProblem]:
        return ()  # the server says which there are; a copy may be missing

    def _why_none(self, not_images: Sequence[FileProblem]) -> str | None:
        if not self._asked:
            return None
        if self._silent:
            return f"There is no image to label. {self._silent}"
        return (
            f"There is no series to label on the DICOM server at {self.name()}: served are CT and MR, or what "
            "MONAI_LABEL_DICOMWEB_SEARCH_FILTER says."
        )


def _save(instance: Dataset, file: Path) -> None:
    try:
        instance.save_as(file, write_like_original=False)
    except OSError:
        raise
    except Exception as error:  # any field of it may hold anything
        raise SeriesError(f"a slice of it cannot be read; it may be damaged ({error})") from error
