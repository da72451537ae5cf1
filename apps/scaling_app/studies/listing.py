"""Which files of a studies folder are images and labels, and what is to be said of the others.

One rule for both: hidden files (macOS puts a `._NAME` beside each file) are nobody's, a kind that is not read is not
listed, and of two files of one name none is taken in silence.
"""

from __future__ import annotations

import fnmatch
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scaling_app.imaging.elsewhere import images_elsewhere, shown_name
from scaling_app.imaging.image_files import readable_kinds, stem_of, suffix_of
from scaling_app.words import in_words

SEGMENTATION = ".seg.nrrd"
DETACHED = (".nhdr", ".mhd", ".hdr", ".img")
"""Kinds that keep header and voxels in two files, which a server that moves single files would tear apart."""

_LABEL_NAME = re.compile(r"(.+)[ _.-](?:mask|label|seg|segmentation|annotation|gt)s?", re.IGNORECASE)
MOST_NAMED = 20
"""Files without an image that are named one by one; a folder of strays would fill the page."""


@dataclass(frozen=True)
class FileProblem:
    """A file, or what it belongs to, and what is wrong with it."""

    image: str
    sentence: str


@dataclass(frozen=True)
class Listing:
    """What was found.

    Attributes:
        files: image id -> ending of its file, as it is spelled; the file is called by both together.
        problems: what was found and not taken.
        beside: image id -> the files that could be its label, too, and are not.
    """

    files: Mapping[str, str]
    problems: tuple[FileProblem, ...] = ()
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def listed_kinds() -> tuple[str, ...]:
    """The kinds of file that are images or labels of a studies folder."""
    return tuple(kind for kind in readable_kinds() if kind not in DETACHED)


def split_name(name: str) -> tuple[str, str]:
    """The id and the ending that a file's name stands for."""
    stem = stem_of(name)
    return stem, name[len(stem) :]


def are_twins(one: str, other: str) -> bool:
    """Whether two names are the same file's on systems that tell no capitals apart, or spell accents in their own way."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def list_images(folder: Path, known: Mapping[str, str], patterns: Sequence[str] = ()) -> Listing:
    """The images directly in a folder.

    Those known stay what they are. Of two new ones with one stem none is taken: which of them a label was drawn on
    could not be told.

    Args:
        folder: where they lie.
        known: image id -> ending, from before.
        patterns: file names that are taken; without any, all of a listed kind.
    """
    names = _files(folder)
    present = set(names)
    files = {image: ending for image, ending in known.items() if _is_listed(image + ending, present)}
    taken = {image + ending for image, ending in files.items()}
    problems, new = _unnamed(folder), defaultdict(list)
    for name in names:
        (stem, _), kind = split_name(name), suffix_of(name)
        if name in taken or (
            patterns and not any(fnmatch.fnmatch(name.lower(), p.lower()) for p in patterns)
        ):
            continue
        if kind in DETACHED:
            problems.append(_detached(stem, name))
        elif kind == SEGMENTATION:
            sentence = (
                f"{name} is a segmentation and no image; labels lie in labels/final, named as their image."
            )
            problems.append(FileProblem(stem, sentence))
        elif kind in listed_kinds():
            new[stem].append(name)
    for stem, group in new.items():
        if stem in files:
            held = stem + files[stem]
            sentence = f"{in_words(group)} and {held} have the same name; {held} is served. Rename or remove the other."
            problems.append(FileProblem(stem, sentence))
        elif len(group) > 1:
            sentence = (
                f"{in_words(group)} have the same name, so that nobody can tell whose a label would be; none is served. "
                "Rename one of them."
            )
            problems.append(FileProblem(stem, sentence))
        else:
            files[stem] = split_name(group[0])[1]
    return Listing(files, (*problems, *_named_as_labels(files)))


def _named_as_labels(files: Mapping[str, str]) -> list[FileProblem]:
    """Images called as another one with `_mask` or the like, in one sentence for all."""
    found = [
        (image, match[1])
        for image in sorted(files)
        if (match := _LABEL_NAME.fullmatch(image)) and match[1] in files
    ]
    if not found:
        return []
    image, of = found[0]
    more = f", as {len(found) - 1} more do," if len(found) > 1 else ""
    return [
        FileProblem(
            image,
            f"{image}{files[image]}{more} looks by its name like the label of {of}{files[of]}, and is served as an image. "
            f"Labels lie in labels/final and are called as their image is: move it there as {of}{files[image]}.",
        )
    ]


def list_labels(
    folder: Path, images: Mapping[str, str], known: Mapping[str, str], not_served: Collection[str] = ()
) -> Listing:
    """The labels in the folder of a tag.

    The known label of an image stays what it is. Of several new ones the newest file is taken, since the other choice
    would be to lose a label that somebody drew.

    Args:
        folder: where they lie.
        images: the images that there are.
        known: image id -> ending of its label, from before.
        not_served: the names of images that are there and were not taken.
    """
    names = _files(folder)
    present = set(names)
    files = {i: ending for i, ending in known.items() if i in images and _is_listed(i + ending, present)}
    taken = {image + ending for image, ending in files.items()}
    problems, beside = _unnamed(folder), {}
    strays: list[str] = []
    new: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if name in taken:
            continue
        image, _ = label_owner(name, images)
        kind = suffix_of(name)
        if kind in DETACHED:
            problems.append(_detached(image, name))
        elif kind in listed_kinds():
            (new[image] if image in images else strays).append(name)
        elif (whose := _named_after(name, images)) is not None:
            sentence = (
                f"{name} is of a kind that is not read as a label; save it as .nii.gz, .nrrd or .seg.nrrd."
            )
            problems.append(FileProblem(whose, sentence))
    for image, group in new.items():
        if image not in files:
            newest = max(group, key=lambda name: ((folder / name).stat().st_mtime_ns, name))
            files[image] = label_owner(newest, images)[1]
            group.remove(newest)
        if group:
            beside[image] = tuple(group)
            held = image + files[image]
            sentence = f"{held} is the label in use; {in_words(group)} beside it is not. Remove or rename what is not wanted."
            problems.append(FileProblem(image, sentence))
    for name in strays[:MOST_NAMED]:
        stem = split_name(name)[0]
        sentence = (
            f"{name} in the folder of labels stays there until its image {stem} is served."
            if stem in not_served
            else f"{name} in the folder of labels is the label of no image; it has to be called as its image is."
        )
        problems.append(FileProblem(stem, sentence))
    if len(strays) > MOST_NAMED:
        problems.append(FileProblem(folder.name, f"{len(strays) - MOST_NAMED} more labels have no image."))
    return Listing(files, tuple(problems), beside)


def list_tags(folder: Path) -> list[str]:
    """The tags that there are labels of: the visible folders in the folder of labels, in order."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir() if entry.is_dir())
    return sorted(name for name in names if not name.startswith(".") and _is_text(name))


def label_owner(name: str, images: Mapping[str, str]) -> tuple[str, str]:
    """The image that a label's file is named after, and the ending.

    `a.seg.nrrd` is a segmentation of `a`, unless there is an image `a.seg`.
    """
    stem, ending = split_name(name)
    if suffix_of(name) == SEGMENTATION and (longer := name[: -len(".nrrd")]) in images:
        return longer, name[len(longer) :]
    return stem, ending


def label_ending(image: str, source: str, images: Mapping[str, str]) -> str:
    """The ending under which a label of this kind is stored, so that it is found again as the image's."""
    ending = split_name(source)[1].lower()
    if label_owner(image + ending, images)[0] != image:
        return ".nrrd"  # the same format
    return ending


def where_images_may_be(folder: Path, hidden_from: str) -> str:
    """What a folder without one image holds instead, as a sentence with what to do.

    Args:
        folder: the studies folder.
        hidden_from: the folder of labels in it, where nobody's images are.
    """
    parts = images_elsewhere(folder, folder / hidden_from)
    there = f"Found were {parts}, which are not read" if parts else "None was found below it either"
    return (
        f"There is no image in the studies folder. {there}: images lie directly in the folder, as "
        f"{', '.join(listed_kinds()[:3])} or another kind that is read, one file each. Move or link them there "
        "(of DICOM series, convert each to one file), or name the folder that holds them."
    )


def _files(folder: Path) -> list[str]:
    """The names of the visible files there, in order."""
    return sorted(name for name in _entries(folder) if _is_text(name))


def _unnamed(folder: Path) -> list[FileProblem]:
    """Files of a listed kind whose name no index and no answer can hold."""
    return [
        FileProblem(
            shown_name(name),
            f"{shown_name(name)} has a name that is no text in UTF-8, and is not read; rename it.",
        )
        for name in _entries(folder)
        if not _is_text(name) and suffix_of(name) in listed_kinds()
    ]


def _entries(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not entry.name.startswith(".") and _is_file(entry)]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link in a circle, or into a folder that is shut
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_listed(name: str, present: set[str]) -> bool:
    kind = suffix_of(name)
    return name in present and kind in readable_kinds() and kind not in DETACHED


def _named_after(name: str, images: Mapping[str, str]) -> str | None:
    """The image whose id a name begins with, up to a dot."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        if (image := ".".join(parts[:length])) in images:
            return image
    return None


def _detached(image: str, name: str) -> FileProblem:
    return FileProblem(
        image,
        f"{name} keeps its voxels in a file of their own and is not read; save it as one .nii.gz or .nrrd.",
    )
