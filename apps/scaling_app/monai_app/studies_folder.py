"""The studies folder: MONAI Label's local datastore, where nothing that was acknowledged is lost.

Every change is made to a copy of the index, read anew under a lock that all processes take, and written whole; the
copy is then taken up. So readers, in whatever thread, see one index or the next one and never a half, and a training
that writes its own index forgets nothing that the server wrote meanwhile.

A label that is replaced goes into the history first. Then the new index is written beside the old one, the new label
takes its place, and the index takes its own: whatever fails before leaves everything as it was, and what fails between
the last two steps puts the old label back.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from monailabel.datastore.local import (
    DataModel,
    ImageLabelModel,
    LocalDatastore,
    LocalDatastoreModel,
)
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from scaling_app.monai_app.folder_watch import FolderWatch
from scaling_app.monai_app.index_and_files import Counted, counted, is_as_known, take_images, take_labels
from scaling_app.monai_app.studies_index import StudiesIndex, joined, own_entry
from scaling_app.storage import copy_whole, sweep_parts, taken_away
from scaling_app.studies import listing
from scaling_app.studies.label_history import LabelHistory, same_content

logger = logging.getLogger(__name__)


class StudiesFolder(LocalDatastore):
    """Images and labels in a folder.

    Args:
        path: the folder; it is made where it is missing.
        patterns: names of files that are images; without any, every kind that is read.
        kept_labels: replaced labels that stay, of each image and tag.
        auto_reload: whether files that come and go are noticed at once.
        read_only: whether the index is left as it is at first.

    Raises:
        OSError: the folder cannot be read or written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        patterns: Sequence[str] = (),
        kept_labels: int = 10,
        auto_reload: bool = False,
        read_only: bool = False,
    ) -> None:
        self._root = Path(path)
        self._root.mkdir(parents=True, exist_ok=True)
        self._index = StudiesIndex(self._root)
        self._patterns, self._kept_labels = tuple(patterns), kept_labels
        self._problems: tuple[listing.FileProblem, ...] = ()
        self._missing: str | None = None
        self._count: Counted | None = None
        kinds = [f"*{kind}" for kind in listing.listed_kinds()]
        # MONAI Label's own watch would look through the folder at each of the changes that a saved label makes
        super().__init__(str(path), extensions=kinds, auto_reload=False, read_only=read_only)
        self._sweep()
        if auto_reload:
            away = self._is_on_mount(str(self._images().resolve()))
            FolderWatch(
                self._root, self._look_again, self._index.file, polling=away, is_known=self._is_as_known
            )

    @property
    def problems(self) -> tuple[listing.FileProblem, ...]:
        """What lies in the folder and is not taken for what it may be meant to be."""
        return self._problems

    @property
    def was_rebuilt(self) -> bool:
        """Whether the index had to be made anew, without what it said of the labels."""
        return self._index.was_rebuilt

    def image_at_hand(self, image_id: str) -> str:
        """The file of an image, which is here; an empty text where there is none."""
        return self.get_image_uri(image_id)

    def unfit(self, image_id: str) -> str | None:
        """Why an image cannot be served, beside what its file says; None in a folder."""
        return None

    def nothing_to_serve(self) -> str | None:
        """Why there is no image, as a sentence; None when there is one."""
        return self._missing

    def get_unlabeled_images(
        self, label_tag: str | None = None, labels: list[str] | None = None
    ) -> list[str]:
        """The images without a final label."""
        return list(self._counted().unlabelled)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The images with a final label."""
        return list(self._counted().labelled)

    def status(self) -> dict[str, object]:
        """How many images there are, how many of them have a final label, and how many labels of each tag."""
        counted = self._counted()
        done, left = len(counted.labelled), len(counted.unlabelled)
        return {"total": done + left, "completed": done, "label_tags": dict(counted.tags)}

    def _counted(self) -> Counted:
        index, found = self._datastore, self._count
        if found is None or found.index is not index:  # none is changed once it is in use
            self._count = found = counted(index, found)
        return found

    # what changes

    def set_name(self, name: str) -> None:
        """Names the studies."""
        with self._changing() as index:
            index.name = name

    def set_description(self, description: str) -> None:
        """Describes the studies."""
        with self._changing() as index:
            index.description = description

    def add_image(self, image_id: str, image_filename: str, image_info: dict) -> str:
        """Copies an image into the folder.

        Raises:
            ValueError: another file has its name, or its name would be read as another's.
            OSError: it cannot be written; nothing has changed.
        """
        stem, ending = listing.split_name(Path(image_filename).name)
        image, name = image_id or stem, f"{image_id or stem}{ending}"
        if listing.suffix_of(name) == listing.SEGMENTATION:
            raise ValueError(f"{name} is a segmentation and no image; send it as the label of one")
        with self._index.lock:
            index = self._index.read(self._datastore)
            names = {listing.stem_of(file): file for file in self._root_files()}
            if twin := next((file for stem, file in names.items() if listing.are_twins(stem, image)), None):
                raise ValueError(
                    f"there is a file {twin} already, whose name is the same or differs in capitals or accents only; "
                    "choose another name"
                )
            info = joined(image_info or {}, {"ts": int(time.time()), "name": name})
            index.objects[image] = ImageLabelModel(image=DataModel(info=info, ext=ending))
            file = copy_whole(image_filename, self._images() / name)
            try:
                self._index.write(index)
            except BaseException:
                file.unlink(missing_ok=True)
                raise
            self._datastore = index
        return image

    def remove_image(self, image_id: str) -> None:
        """Deletes an image with its labels and their history; of a linked one the link.

        Raises:
            ImageNotFoundException: there is none of that name.
            OSError: not all of it can be deleted; nothing has changed.
        """
        with self._index.lock:
            index = self._index.read(self._datastore)
            gone = _image(index, image_id)
            del index.objects[image_id]
            # the image first: killed in between, there is no image any more, and not one without its labels
            files = [self._images() / f"{image_id}{gone.image.ext}"]
            files += [self._labels(tag) / f"{image_id}{label.ext}" for tag, label in gone.labels.items()]
            with taken_away(files), self._index.prepared(index):
                pass
            self._datastore = index
            self._history.forget(image_id)
        self._look_again()

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict) -> str:
        """Puts a label in place, in one step; the one before goes into the history.

        Returns:
            The label's id, which is the image's.

        Raises:
            ImageNotFoundException: there is no such image.
            ValueError: too much is said of it.
            OSError: it could not be stored; the label before is in place.
        """
        source = Path(label_filename)
        with self._index.lock:
            index = self._index.read(self._datastore)
            image = _image(index, image_id)
            ending = listing.label_ending(image_id, source.name, index.objects)
            goal = self._labels(label_tag) / f"{image_id}{ending}"
            before = image.labels.get(label_tag)
            info = joined(label_info or {}, {"ts": int(time.time()), "name": goal.name})
            image.labels[label_tag] = DataModel(info=info, ext=ending)
            former = [goal] if before is None else [goal, goal.with_name(f"{image_id}{before.ext}")]
            with self._history.keeping(label_tag, image_id, former, source), self._index.prepared(index):
                if not same_content(goal, source):
                    copy_whole(source, goal)
            self._datastore = index
            with suppress(OSError):  # one that stays is named among the problems
                for file in former[1:]:
                    if file != goal:
                        file.unlink(missing_ok=True)
        logger.info("Stored the label %s of %s", label_tag, image_id)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Takes a label away; it goes into the history.

        Raises:
            OSError: it could not be taken away; it is in place.
        """
        with self._index.lock:
            index = self._index.read(self._datastore)
            image = own_entry(index, label_id)
            label = image.labels.pop(label_tag, None) if image else None
            if label is None:
                return
            file = self._labels(label_tag) / f"{label_id}{label.ext}"
            kept = self._history.keeping(label_tag, label_id, [file])
            with kept, taken_away([file]), self._index.prepared(index):
                pass
            self._datastore = index
        self._look_again()

    def update_image_info(self, image_id: str, info: Mapping[str, object]) -> None:
        """Adds facts about an image.

        Raises:
            ImageNotFoundException: there is none of that name.
        """
        with self._changing() as index:
            image = _image(index, image_id).image
            image.info = joined(image.info, info)

    def update_label_info(self, label_id: str, label_tag: str, info: Mapping[str, object]) -> None:
        """Adds facts about a label.

        Raises:
            LabelNotFoundException: there is none.
        """
        self.update_label_infos(label_tag, {label_id: info})

    def update_label_infos(self, tag: str, infos: Mapping[str, Mapping[str, object]]) -> None:
        """Adds facts about several labels of one tag, in one step.

        Raises:
            LabelNotFoundException: one of them is not there.
        """
        with self._changing() as index:
            for label_id, info in infos.items():
                own_entry(index, label_id)
                if (label := index.label(label_id, tag)) is None:
                    raise LabelNotFoundException(f"Label: {label_id} Tag: {tag} not found")
                label.info = joined(label.info, info)

    def refresh(self) -> None:
        """Brings the index in step with the files that are there.

        Raises:
            OSError: they cannot be looked through, or the index cannot be written.
        """
        self._reconcile_datastore()

    def _look_again(self) -> None:
        """The index in step with the files, after what no error may deny any more."""
        try:
            self._reconcile_datastore()
        except OSError:
            logger.exception("The studies folder could not be looked through")

    def _is_as_known(self, path: Path) -> bool:
        """Whether a file that came or went is as the index says; where something was named it may be that."""
        return not self._problems and not self._missing and is_as_known(self._index, self._datastore, path)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """The labelled images with their labels and the index as a ZIP file, which is the caller's to delete.

        Raises:
            OSError: it could not be written; nothing is left of it.
        """
        pairs = self.datalist()
        handle, name = tempfile.mkstemp(suffix=".zip")
        try:
            with os.fdopen(handle, "wb") as out, zipfile.ZipFile(out, "w") as archive:
                for pair in pairs[: limit_cases if limit_cases and limit_cases > 0 else None]:
                    for kind, path in pair.items():
                        archive.write(path, arcname=f"{kind}/{Path(path).name}")
                archive.writestr("metadata.json", self._datastore.model_dump_json(exclude={"base_path"}))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return name

    # the index

    def _to_id(self, file: str) -> tuple[str, str]:
        return listing.split_name(file)

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        with self._index.lock:
            self._datastore = self._index.read(self._datastore)

    @contextmanager
    def _changing(self) -> Iterator[LocalDatastoreModel]:
        """The index as it is on the disk, to be changed; it is written and taken up when the context ends well."""
        with self._index.lock:
            index = self._index.read(self._datastore)
            yield index
            self._index.write(index)
            self._datastore = index

    def _reconcile_datastore(self) -> None:
        with self._index.lock:
            index = self._index.read(self._datastore)
            before = dict(index.objects)
            not_images = self._take_images(index)
            missing = None if index.objects else self._why_none(not_images)
            problems = [*not_images, *self._damaged()]
            if missing is not None:
                problems.insert(0, listing.FileProblem(self._root.name, missing))
            for tag in listing.list_tags(self._labels(None)):
                problems += take_labels(
                    index, tag, self._labels(tag), self._history, {problem.image for problem in not_images}
                )
            if not _same(index.objects, before) or not self._index.file.exists():
                self._index.write(index)
            self._datastore = index
            self._missing = missing
            self._say(tuple(problems))

    def _take_images(self, index: LocalDatastoreModel) -> Sequence[listing.FileProblem]:
        return take_images(index, self._images(), self._patterns)

    @cached_property
    def _history(self) -> LabelHistory:
        return LabelHistory(self._labels(None), self._kept_labels)

    def _why_none(self, not_images: Sequence[listing.FileProblem]) -> str | None:
        if not_images:
            return f"There is no image to label. {not_images[0].sentence}"
        return listing.where_images_may_be(self._images(), self._datastore.labels_dir)

    def _damaged(self) -> list[listing.FileProblem]:
        return [
            listing.FileProblem(
                name,
                f"The index of the studies could not be read; it was set aside as {name} and made anew from the files. "
                "Delete it once the labels have been looked at.",
            )
            for name in self._index.set_aside()
        ]

    def _say(self, problems: tuple[listing.FileProblem, ...]) -> None:
        for problem in problems:
            if problem not in self._problems:
                logger.warning("%s", problem.sentence)
        self._problems = problems

    # files

    def _images(self) -> Path:
        return Path(self._datastore.image_path())

    def _labels(self, tag: str | None) -> Path:
        return Path(self._datastore.label_path(tag))

    def _sweep(self) -> None:
        """Deletes what killed processes left half written; all of them write under the lock."""
        with self._index.lock:
            for folder in (self._root, self._images(), *self._labels(None).rglob("*/")):
                sweep_parts(folder)

    def _root_files(self) -> list[str]:
        return [entry.name for entry in self._images().iterdir() if not entry.name.startswith(".")]


def _same(objects: Mapping[str, ImageLabelModel], before: Mapping[str, ImageLabelModel]) -> bool:
    """Whether there are the same entries in the same state: one that is changed is replaced by one of its own."""
    return objects.keys() == before.keys() and all(before[image] is entry for image, entry in objects.items())


def _image(index: LocalDatastoreModel, image_id: str) -> ImageLabelModel:
    if (image := own_entry(index, image_id)) is None:
        raise ImageNotFoundException(f"Image {image_id} not found")
    return image
