"""Studies on a DICOM server: a folder of copies here, the series and the labels there.

The server is the truth. A label is sent to it as a Segmentation before it counts as taken; what is kept here is read
from that Segmentation, and refused if one voxel differs. The newest Segmentation of a series is its label, whoever
made it; older ones stay on the server, and their copies in the history here. Images are fetched when they are needed.

MONAI Label's own datastore for DICOM is not used: it asks the server at most every two hours, and reads a label
as the part of it that is not empty.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastoreModel
from monailabel.interfaces.exception import ImageNotFoundException

from scaling_app.imaging.dicom_segmentation import (
    Segmented,
    read_segmentation,
    require_writer,
    write_segmentation,
)
from scaling_app.imaging.dicom_series import Series, SeriesError, series_of, write_volume
from scaling_app.imaging.geometry import ImageError, grid_of, read_label, write_label
from scaling_app.imaging.label_fit import fit_label
from scaling_app.monai_app.pacs import Pacs, PacsError, SegmentationFacts, SeriesFacts, newest_first
from scaling_app.monai_app.pacs_memory import PacsMemory
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.monai_app.studies_listing import MOST_NAMED, FileProblem
from scaling_app.studies.studies import FINAL

logger = logging.getLogger(__name__)

SHARE_OF_TIME = 0.1
"""Of the time may be spent asking: a slow server, or one with many series, is asked less often."""

SETTLE_SECONDS = 30.0
"""A label that was just sent is not taken for deleted, as some servers list what they stored only later."""

JUDGING_SECONDS = 1.0
"""At each look, for the headers of series that nobody has opened yet."""

KIND = ".nii.gz"
_NOTED = ("client_id", "annotator", "minutes", "blind", "label_info")
"""What is sent with a label and goes into its Segmentation."""


class DicomStudies(StudiesFolder):
    """The series of a DICOM server, their labels, and the copies here.

    Args:
        pacs: the server.
        folder: for the copies.
        structures: structure -> label value, as far as known: by it Segmentations of other programs are read.
        kept_labels: replaced labels that stay here, of each image.

    Raises:
        ValueError: what writes Segmentations is not installed.
        OSError: the folder cannot be read or written.
    """

    def __init__(
        self,
        pacs: Pacs,
        folder: Path,
        *,
        structures: Callable[[], Mapping[str, int]] = dict,
        kept_labels: int = 10,
    ) -> None:
        require_writer()
        self._structures = structures
        self._pacs = pacs
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._memory = PacsMemory.read(folder)
        self._silent: str | None = None
        self._unusable: dict[str, FileProblem] = {}
        self._saved: dict[str, float] = {}
        self._may_ask = float("-inf")
        self._looking, self._labelling = threading.Lock(), threading.RLock()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        super().__init__(folder, kept_labels=kept_labels)

    def name(self) -> str:
        """The server's address."""
        return self._pacs.url

    @property
    def problems(self) -> tuple[FileProblem, ...]:
        """Why the server is silent; series and Segmentations that are left out; and what is odd about the copies."""
        series = [
            FileProblem(uid, f"The series {self._called(uid)} is left out: {sentence}.")
            for uid, sentence in sorted(self._memory.judged.items())
            if sentence and uid in self._memory.images
        ]
        found = [*series, *(self._unusable[sop] for sop in sorted(self._unusable))]
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

    # images

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

    # labels

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict) -> str:
        """Sends a label to the server, and then keeps what its Segmentation says; a prediction stays here.

        Raises:
            ImageNotFoundException: there is no such image.
            ValueError: it does not lie on the image, or a Segmentation cannot hold it.
            PacsError: the server did not take it; the label before is in place.
            OSError: it could not be stored here.
        """
        if label_tag != FINAL:
            return super().save_label(image_id, label_filename, label_tag, label_info)
        if image_id not in self._datastore.objects:
            raise ImageNotFoundException(f"Image {image_id} not found")
        series, info = self._series(image_id), dict(label_info or {})
        voxels = _on_grid(Path(label_filename), series)
        named = Segmented(voxels, self._names(voxels, info), {k: info[k] for k in _NOTED if k in info})
        who = str(info.get("annotator") or info.get("client_id") or "")
        with self._labelling:
            before = newest_first(self._memory.of_image(image_id))
            now = datetime.now().astimezone()
            when = max(now, before[0].when + timedelta(milliseconds=1)) if before else now
            instance = write_segmentation(named, series, who=who, when=when)
            back = read_segmentation(instance, series)
            if not np.array_equal(back.voxels, voxels):
                raise ValueError(
                    "The label cannot be kept as a DICOM Segmentation without a change; report this."
                )
            self._pacs.store(instance)
            facts = SegmentationFacts(
                str(instance.SOPInstanceUID),
                str(instance.SeriesInstanceUID),
                str(instance.StudyInstanceUID),
                image_id,
                who,
                when,
            )
            self._saved[image_id] = time.monotonic()
            self._memory.segmentations[facts.series] = (1, [facts])
            self._keep(facts, back.voxels, series, info)
            self._memory.keep()
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Takes a prediction away; a label is deleted on the server.

        Raises:
            ValueError: it is a label.
        """
        if label_tag == FINAL:
            raise ValueError(
                "The studies are on a DICOM server: delete the Segmentation there, and the label will be gone here."
            )
        super().remove_label(label_id, label_tag)

    # what the server has

    def refresh(self) -> None:
        """Asks the server what is new, unless it was asked just now; a silent server changes nothing here."""
        with self._looking:
            began = time.monotonic()
            if began >= self._may_ask:
                try:
                    self._look(began)
                    self._silent = None
                except PacsError as error:
                    if self._silent != str(error):
                        logger.warning("%s", error)
                    self._silent = str(error)
                ended = time.monotonic()
                self._may_ask = ended + (ended - began) * (1 / SHARE_OF_TIME - 1)
        super().refresh()

    def _look(self, began: float) -> None:
        images = self._pacs.images()
        if self._memory.images and not images:
            raise PacsError(f"The DICOM server at {self.name()} lists no series any more.")
        changed = self._take_series(images)
        changed |= self._ask_segmentations()
        changed |= self._judge()
        if changed:
            self._memory.keep()
        self._adopt(began)

    def _take_series(self, images: Mapping[str, SeriesFacts]) -> bool:
        """Takes up which series there are; one that has grown or shrunk is fetched and judged anew."""
        before = self._memory.images
        if images == before and set(images) - self._unfit() == set(self._datastore.objects):
            return False
        for uid, facts in before.items():
            if uid not in images or facts.instances != images[uid].instances:
                self._memory.forget(uid)
                Path(super().get_image_uri(uid) or self._images() / f"{uid}{KIND}").unlink(missing_ok=True)
        self._memory.images = dict(images)
        self._list_images()
        return True

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
                    if uid in index.objects:
                        index.objects[uid].image.info.update(info)
                    else:
                        model = DataModel(ext=KIND, info={**info, "ts": int(time.time())})
                        index.objects[uid] = ImageLabelModel(image=model)

    def _ask_segmentations(self) -> bool:
        """Asks for the Segmentations that are new, and forgets those that are gone."""
        listed = {one.uid: one for one in self._pacs.segmentation_series()}
        known, changed = self._memory.segmentations, False
        for uid, series in listed.items():
            if uid not in known or (series.instances and known[uid][0] != series.instances):
                with self._one_refused():
                    known[uid] = (series.instances or 1, self._pacs.segmentations(series))
                    changed = True
        settled = time.monotonic() - SETTLE_SECONDS
        with self._labelling:
            for uid in set(known) - set(listed):
                if all(self._saved.get(one.of_series, float("-inf")) < settled for one in known[uid][1]):
                    del known[uid]
                    changed = True
        return changed

    def _judge(self) -> bool:
        """Looks at the headers of series that nobody has opened yet, for a moment."""
        until, changed = time.monotonic() + JUDGING_SECONDS, False
        for uid, facts in list(self._memory.images.items()):
            if uid in self._memory.judged:
                continue
            if time.monotonic() > until:
                break
            with self._one_refused():
                sentence = ""
                try:
                    series_of(self._pacs.headers(facts.study, uid))
                except SeriesError as error:
                    sentence = str(error)
                    logger.warning("The series %s is left out: %s", uid, error)
                self._memory.judged[uid] = sentence
                changed = True
        if set(self._datastore.objects) & self._unfit():
            self._list_images()
        return changed

    @contextmanager
    def _one_refused(self) -> Iterator[None]:
        """Goes on where the server answers one question with an error; the next look asks again."""
        try:
            yield
        except PacsError as error:
            if not error.answered:
                raise
            logger.warning("%s", error)

    def _adopt(self, began: float) -> None:
        """Brings the labels here in step with the newest Segmentation of each image."""
        present = {one.sop for _, found in self._memory.segmentations.values() for one in found}
        self._unusable = {sop: said for sop, said in self._unusable.items() if sop in present}
        of_image: defaultdict[str, list[SegmentationFacts]] = defaultdict(list)
        for _, found in self._memory.segmentations.values():
            for one in found:
                of_image[one.of_series].append(one)
        for image in list(self._datastore.objects):
            label = self._datastore.label(image, FINAL)
            held = label.info.get("SOPInstanceUID") if label else None
            newest = newest_first([one for one in of_image[image] if one.sop not in self._unusable])
            if not newest and label is not None:
                with self._labelling:
                    if self._saved.get(image, float("-inf")) < began - SETTLE_SECONDS:
                        logger.info("The Segmentation of %s is gone; its label goes into the history", image)
                        super().remove_label(image, FINAL)
            elif newest and newest[0].sop != held:
                with self._one_refused():
                    self._adopt_first(image, newest, held, began)

    def _adopt_first(
        self, image: str, newest: Sequence[SegmentationFacts], held: str | None, began: float
    ) -> None:
        """Takes the first Segmentation that is a label of the image; those before it are named."""
        for facts in newest:
            if facts.sop == held:
                return
            try:
                series = self._series(image)
            except SeriesError:
                return  # it is left out from now on
            try:
                instance = self._pacs.instance(facts.study, facts.series, facts.sop)
                found = read_segmentation(instance, series, self._known())
            except ImageError as error:
                sentence = f"A label by {facts.who or 'somebody'} of the series {self._called(image)} is left out: {error}."
                logger.warning("%s", sentence)
                self._unusable[facts.sop] = FileProblem(image, sentence)
                continue
            names = [{"name": name, "idx": value} for value, name in sorted(found.names.items())]
            info = {"label_info": names, **found.note}
            if not found.note and facts.who:
                info["annotator"] = facts.who
            with self._labelling:
                if self._saved.get(image, float("-inf")) < began:
                    self._keep(facts, found.voxels, series, info)
            return

    # parts

    def _keep(
        self, facts: SegmentationFacts, voxels: np.ndarray, series: Series, info: Mapping[str, object]
    ) -> None:
        """Puts the label of a Segmentation in place here; its file depends on nothing else than the two."""
        whose = {
            "SOPInstanceUID": facts.sop,
            "SeriesInstanceUID": facts.series,
            "drawn_at": facts.when.isoformat(),
        }
        with tempfile.TemporaryDirectory() as folder:
            file = write_label(voxels, series.grid, Path(folder) / f"label{KIND}")
            super().save_label(facts.of_series, str(file), FINAL, {**info, **whose})

    def _series(self, image: str) -> Series:
        headers = self._memory.headers(image)
        if headers is None:
            facts = self._facts(image)
            headers = self._pacs.headers(facts.study, image)
            self._judged(image, headers)
            self._memory.keep_headers(image, headers)
        return series_of(headers)

    def _judged(self, image: str, headers: Sequence) -> Series:
        try:
            return series_of(headers)
        except SeriesError as error:
            self._memory.judged[image] = str(error)
            self._list_images()
            self._memory.keep()
            raise SeriesError(f"The series {self._called(image)} is left out: {error}.") from error

    def _fetch(self, image: str, out: Path) -> None:
        facts, series = self._facts(image), self._series(image)
        sops = [str(header.SOPInstanceUID) for header in series.headers]
        with tempfile.TemporaryDirectory() as folder:
            files = {sop: Path(folder) / f"{number}.dcm" for number, sop in enumerate(sops)}
            for instance in self._pacs.instances(facts.study, image):
                if (file := files.get(str(instance.SOPInstanceUID))) is not None:
                    instance.save_as(file, write_like_original=False)
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

    def _names(self, voxels: np.ndarray, info: Mapping[str, object]) -> dict[int, str]:
        """What the values are called: as it was sent with the label, else as the session calls them."""
        known = {value: name for name, value in self._structures().items()}
        names = {int(value): known[int(value)] for value in np.unique(voxels) if int(value) in known}
        sent = info.get("label_info")
        for one in sent if isinstance(sent, list) else ():
            name, value = (one.get("name"), one.get("idx")) if isinstance(one, dict) else (None, None)
            if isinstance(name, str) and name and isinstance(value, int) and value > 0:
                names[value] = name
        return names

    def _known(self) -> dict[str, int]:
        """Structure -> value: as the session knows them, and as the labels here name more."""
        known = dict(self._structures())
        for image in self._datastore.objects.values():
            label = image.labels.get(FINAL)
            for one in label.info.get("label_info") or () if label else ():
                if one["name"] not in known and one["idx"] not in known.values():
                    known[one["name"]] = one["idx"]
        return known

    def _unfit(self) -> set[str]:
        return {uid for uid, sentence in self._memory.judged.items() if sentence}

    def _called(self, uid: str) -> str:
        facts = self._memory.images.get(uid)
        return f"{uid} ({facts.modality} of patient {facts.patient})" if facts else uid

    def _take_images(self, index: LocalDatastoreModel) -> Sequence[FileProblem]:
        return ()  # the server says which there are; a copy may be missing

    def _why_none(self, not_images: Sequence[FileProblem]) -> str:
        if self._silent:
            return f"There is no image to label. {self._silent}"
        return (
            f"There is no series to label on the DICOM server at {self.name()}: served are CT and MR, or what "
            "MONAI_LABEL_DICOMWEB_SEARCH_FILTER says."
        )


def _on_grid(file: Path, series: Series) -> np.ndarray:
    label = read_label(file)
    fit = fit_label(grid_of(label), series.grid)
    if fit is None:
        raise ValueError(
            "The label does not lie on its image, and a DICOM Segmentation could not say so: open the image again "
            "and redraw, or export the label on the grid of the image."
        )
    return np.ascontiguousarray(fit.apply(np.asarray(label[0])))
