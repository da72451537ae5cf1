"""Studies on a DICOM server: a folder of copies here, the series and the labels there.

The server is the truth. A label is sent to it as a Segmentation before it counts as taken; what is kept here is read
from that Segmentation, and refused if one voxel differs. The newest Segmentation of a series is its label, whoever
made it; older ones stay on the server, and their copies in the history here.

MONAI Label's own datastore for DICOM is not used: it asks the server at most every two hours, and reads a label
as the part of it that is not empty.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from monailabel.interfaces.exception import ImageNotFoundException
from pydicom.dataset import Dataset

from scaling_app.imaging.dicom_segmentation import (
    Segmented,
    read_segmentation,
    require_writer,
    write_segmentation,
)
from scaling_app.imaging.dicom_series import Series, SeriesError
from scaling_app.imaging.geometry import grid_of, read_label, write_label
from scaling_app.imaging.label_fit import fit_label
from scaling_app.imaging.untrusted import ImageError
from scaling_app.monai_app.dicom.connection import PacsError
from scaling_app.monai_app.dicom.images import KIND, DicomImages
from scaling_app.monai_app.dicom.pacs import Pacs, SegmentationFacts, newest_first
from scaling_app.studies.labels.checks import parse_label_info
from scaling_app.studies.listing import FileProblem
from scaling_app.studies.studies import FINAL

logger = logging.getLogger(__name__)

SHARE_OF_TIME = 0.1
"""Of the time may be spent asking: a slow server, or one with many series, is asked less often."""

SETTLE_SECONDS = 30.0
"""A label that was just sent is not taken for deleted, as some servers list what they stored only later."""

_NOTED = ("client_id", "annotator", "minutes", "blind", "label_info")
"""What is sent with a label and goes into its Segmentation."""


class DicomStudies(DicomImages):
    """The series of a DICOM server and their labels.

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
        self._unusable: dict[str, FileProblem] = {}
        self._saved: dict[str, float] = {}
        self._unsent: dict[str, str] = {}
        self._may_ask = float("-inf")
        self._looking = threading.Lock()
        super().__init__(pacs, folder, kept_labels=kept_labels)

    def _labels_left_out(self) -> list[FileProblem]:
        unsent = [FileProblem(image, said) for image, said in sorted(self._unsent.items())]
        return [*unsent, *(said for _, said in sorted(self._unusable.items()))]

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
            try:
                self.pacs.store(instance)
            except PacsError as error:
                self._unsent[image_id] = (
                    f"A label by {who or 'somebody'} of the series {self._called(image_id)} was not stored at "
                    f"{now:%Y-%m-%d %H:%M}: {error} {error.outcome} Whoever drew it was told; the label before counts."
                )
                logger.warning(
                    "The label of the series %s was not stored: %s %s", image_id, error, error.outcome
                )
                raise
            facts = SegmentationFacts(
                str(instance.SOPInstanceUID),
                str(instance.SeriesInstanceUID),
                str(instance.StudyInstanceUID),
                image_id,
                who,
                when,
            )
            self._saved[image_id] = time.monotonic()
            self._memory.note(facts.series, 1, [facts])
            self._keep(facts, back.voxels, series, info)
        return image_id

    def as_prediction(self, image_id: str, file: Path) -> Dataset:
        """The Segmentation of a prediction, which is never taken for a label; it is not sent to the server.

        Raises:
            ValueError: it does not lie on the image, or a Segmentation cannot hold it.
            PacsError: the server gave no usable answer.
        """
        series = self._series(image_id)
        voxels = _on_grid(file, series)
        return write_segmentation(Segmented(voxels, self._names(voxels, {})), series, predicted=True)

    def labels_at(self, path: str) -> dict[str, set[str]]:
        """The images whose labels a DICOMweb address hands out, with who drew them."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for one in self._memory.of_path(path):
            if one.of_series in self._datastore.objects:
                found[one.of_series].add(one.who)
        return dict(found)

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
                self._asked = True
                ended = time.monotonic()
                self._may_ask = ended + (ended - began) * (1 / SHARE_OF_TIME - 1)
        super().refresh()

    @property
    def is_answering(self) -> bool:
        """Whether the server answered when it was asked last."""
        return self._silent is None

    def _look(self, began: float) -> None:
        images = self.pacs.images()
        if self._memory.images and not images:
            raise PacsError(f"The DICOM server at {self.name()} lists no series any more.")
        self._take_series(images)
        self._ask_segmentations()
        self._judge()
        self._memory.keep()
        self._adopt(began)

    def _ask_segmentations(self) -> None:
        """Asks for the Segmentations that are new, and forgets those that are gone."""
        listed = {one.uid: one for one in self.pacs.segmentation_series()}
        known, held = self._memory.instances(), self.pacs.held.of_series()
        for uid, series in listed.items():
            others = series.instances and known.get(uid) != series.instances
            if uid not in known or others or self._memory.has_lost(uid, held.get(uid)):
                with self._one_refused():
                    self._memory.note(uid, series.instances or 1, self.pacs.segmentations(series))
        settled = time.monotonic() - SETTLE_SECONDS
        with self._labelling:
            for uid in set(known) - set(listed):
                found = self._memory.of_series(uid)
                if all(self._saved.get(one.of_series, float("-inf")) < settled for one in found):
                    self._memory.drop(uid)

    def _adopt(self, began: float) -> None:
        """Brings the labels here in step with the newest Segmentation of each image."""
        known = self._memory.segmentations()
        present = {one.sop for one in known}
        self._unusable = {sop: said for sop, said in self._unusable.items() if sop in present}
        self._name_flaws(known)
        of_image: defaultdict[str, list[SegmentationFacts]] = defaultdict(list)
        for one in known:
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

    def _name_flaws(self, known: Sequence[SegmentationFacts]) -> None:
        """Leaves out the Segmentations of which nobody can tell whose they are, where a study has images here."""
        studies = {facts.study for facts in self._memory.images.values()}
        for one in known:
            if one.flaw and one.study in studies and one.sop not in self._unusable:
                sentence = f"A Segmentation by {one.who or 'somebody'} (series {one.series}) is left out: {one.flaw}."
                logger.warning("%s", sentence)
                self._unusable[one.sop] = FileProblem(one.of_series or one.series, sentence)

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
                instance = self.pacs.instance(facts.study, facts.series, facts.sop)
                found = read_segmentation(instance, series, self._known())
            except ImageError as error:
                who = facts.who or "somebody"
                sentence = f"A label by {who} of the series {self._called(image)} is left out: {error}."
                logger.warning("A label by %s of the series %s is left out: %s", who, image, error)
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

    def _keep(
        self, facts: SegmentationFacts, voxels: np.ndarray, series: Series, info: Mapping[str, object]
    ) -> None:
        """Puts the label of a Segmentation in place here; its file depends on nothing else than the two."""
        self._unsent.pop(facts.of_series, None)
        whose = {
            "SOPInstanceUID": facts.sop,
            "SeriesInstanceUID": facts.series,
            "drawn_at": facts.when.isoformat(),
        }
        with tempfile.TemporaryDirectory() as folder:
            file = write_label(voxels, series.grid, Path(folder) / f"label{KIND}")
            super().save_label(facts.of_series, str(file), FINAL, {**info, **whose})

    def _names(self, voxels: np.ndarray, info: Mapping[str, object]) -> dict[int, str]:
        """What the values are called: as it was sent with the label, else as the session calls them."""
        known = {value: name for name, value in self._structures().items()}
        names = {int(value): known[int(value)] for value in np.unique(voxels) if int(value) in known}
        return names | {value: name for name, value in parse_label_info(info.get("label_info"))}

    def _known(self) -> dict[str, int]:
        """Structure -> value: as the session knows them, and as the labels here name more."""
        known = dict(self._structures())
        for image in self._datastore.objects.values():
            label = image.labels.get(FINAL)
            for name, value in parse_label_info(label.info.get("label_info")) if label else ():
                if name not in known and value not in known.values():
                    known[name] = value
        return known


def _on_grid(file: Path, series: Series) -> np.ndarray:
    label = read_label(file)
    fit = fit_label(grid_of(label), series.grid)
    if fit is None:
        raise ValueError(
            "The label does not lie on its image, and a DICOM Segmentation could not say so: open the image again "
            "and redraw, or export the label on the grid of the image."
        )
    return np.ascontiguousarray(fit.apply(np.asarray(label[0])))
