"""The index of a studies folder in step with its files: what came is entered, what went is struck out, what is there counted.

Whoever changes it holds its lock.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastoreModel

from scaling_app.monai_app.studies_index import StudiesIndex, changed_entries, own_entry
from scaling_app.studies import listing
from scaling_app.studies.label_history import UNKEPT_TAG, LabelHistory
from scaling_app.studies.studies import FINAL

logger = logging.getLogger(__name__)


class Counted(NamedTuple):
    """Which images of an index have a final label (keys, in its order), and how many labels of each tag there are."""

    index: LocalDatastoreModel
    unlabelled: Mapping[str, None]
    labelled: Mapping[str, None]
    tags: Mapping[str, int]


def counted(index: LocalDatastoreModel, before: Counted | None = None) -> Counted:
    """Goes through an index once; where others were counted before, only through what has changed since."""
    changed = None if before is None else changed_entries(before.index, index)
    if before is None or changed is None or any(_lost_its_label(before, index, image) for image in changed):
        split: tuple[dict[str, None], dict[str, None]] = {}, {}
        for image_id, image in index.objects.items():
            split[FINAL in image.labels][image_id] = None
        return Counted(
            index, *split, Counter(tag for image in index.objects.values() for tag in image.labels)
        )
    unlabelled, labelled, tags = dict(before.unlabelled), dict(before.labelled), Counter(before.tags)
    for image_id in changed:
        tags.subtract(before.index.objects[image_id].labels.keys())
        tags.update(index.objects[image_id].labels.keys())
        if FINAL in index.objects[image_id].labels and image_id in unlabelled:
            del unlabelled[image_id]
            labelled[image_id] = None
    return Counted(index, unlabelled, labelled, +tags)


def _lost_its_label(before: Counted, index: LocalDatastoreModel, image_id: str) -> bool:
    return image_id in before.labelled and FINAL not in index.objects[image_id].labels


def is_as_known(file: StudiesIndex, index: LocalDatastoreModel, path: Path) -> bool:
    """Whether a file is there or not as the index says, and the index itself is the one in use."""
    return file.is_as_known() if path == file.file else _is_listed(index, path) == path.is_file()


def _is_listed(index: LocalDatastoreModel, path: Path) -> bool:
    """Whether a file is an image or a label that the index knows."""
    if path.parent == Path(index.image_path()):
        image_id, ending = listing.split_name(path.name)
        image = index.objects.get(image_id)
        return image is not None and image.image.ext == ending
    if path.parent.parent != Path(index.label_path(None)):
        return False
    image_id, ending = listing.label_owner(path.name, index.objects)
    image = index.objects.get(image_id)
    label = None if image is None else image.labels.get(path.parent.name)
    return label is not None and label.ext == ending


def take_images(
    index: LocalDatastoreModel, folder: Path, patterns: Sequence[str]
) -> Sequence[listing.FileProblem]:
    """Brings the images of the index in step with a folder.

    Args:
        patterns: names of files that are images; without any, every kind that is read.

    Returns:
        What is to be said of files that are not taken.
    """
    known = {image_id: image.image.ext for image_id, image in index.objects.items()}
    found = listing.list_images(folder, known, patterns)
    for gone in known.keys() - found.files.keys():
        logger.info("The image %s is gone", gone)
        del index.objects[gone]
    for image_id, ending in found.files.items():
        if image_id not in index.objects:
            index.objects[image_id] = ImageLabelModel(image=_entry(image_id, ending))
    return found.problems


def take_labels(
    index: LocalDatastoreModel, tag: str, folder: Path, history: LabelHistory, not_served: Collection[str]
) -> Sequence[listing.FileProblem]:
    """Brings the labels of one tag in step with their folder.

    Args:
        history: of the labels; what it holds of a label that was being replaced at a kill is not needed here any more.
        not_served: the names of images that are there and were not taken.

    Returns:
        What is to be said of files that are not taken.
    """
    images = {image_id: image.image.ext for image_id, image in index.objects.items()}
    known = {i: image.labels[tag].ext for i, image in index.objects.items() if tag in image.labels}
    found = listing.list_labels(folder, images, known, not_served)
    if _finish_replacing(folder, tag, history, found.beside):
        found = listing.list_labels(folder, images, known, not_served)
    for gone in known.keys() - found.files.keys():
        logger.info("The label %s of %s is gone", tag, gone)
        _own_labels(index, gone).pop(tag, None)
    for image_id, ending in found.files.items():
        if image_id not in known:
            _own_labels(index, image_id)[tag] = _entry(image_id, ending)
    return found.problems if tag != UNKEPT_TAG else ()


def _own_labels(index: LocalDatastoreModel, image_id: str) -> dict[str, DataModel]:
    """The labels of an image, to be changed: other indices in use may share its entry until now."""
    entry = own_entry(index, image_id)
    return {} if entry is None else entry.labels


def _entry(image_id: str, ending: str) -> DataModel:
    return DataModel(ext=ending, info={"ts": int(time.time()), "name": f"{image_id}{ending}"})


def _finish_replacing(
    folder: Path, tag: str, history: LabelHistory, beside: Mapping[str, Sequence[str]]
) -> bool:
    """Removes labels of another kind than the one that replaced them just before a kill; the history has them."""
    files = [(image, folder / name) for image, names in sorted(beside.items()) for name in names]
    kept = [file for image, file in files if history.is_kept(tag, image, file)]
    for file in kept:
        with suppress(OSError):  # it is named among the problems then
            file.unlink()
    return bool(kept)
