"""Which label belongs to which image, by the names of their files, and what to say where none does."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from scaling_app.words import count

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def under_label_names(images: Mapping[str, Path], labels: Collection[str]) -> dict[str, Path]:
    """The images by the names that their labels have: nnU-Net calls the one channel of `case` `case_0000`.

    Raises:
        ValueError: a case has channels in several files.
    """
    channels: dict[str, list[str]] = defaultdict(list)
    for name in images:
        found = _CHANNEL.fullmatch(name)
        if found and name not in labels and found[1] in labels and found[1] not in images:
            channels[found[1]].append(name)
    several = {case: names for case, names in channels.items() if len(names) > 1}
    if several:
        case, names = next(iter(several.items()))
        raise ValueError(
            f"{count(len(several), 'case')} with channels in files of their own, as {' and '.join(sorted(names)[:2])} of {case}; "
            "join them into one file of several channels, or keep the files of one channel alone"
        )
    renamed = {names[0]: case for case, names in channels.items() if names[0].endswith("_0000")}
    return {renamed.get(name, name): path for name, path in images.items()}


def naming_hint(images: Collection[str], labels: Collection[str]) -> str:
    """What labels without an image have before or after its name, else what both are called, in a sentence.

    Args:
        images, labels: names without a counterpart.
    """
    additions: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], tuple[str, str]] = {}
    for side, names, others in (("label", labels, set(images)), ("image", images, set(labels))):
        for name in sorted(names):
            lengths = range(len(name) - 1, 0, -1)  # the longest match first: `case10_mask` is of `case10`
            found = next((("*" + name[k:], name[:k]) for k in lengths if name[:k] in others), None)
            found = found or next(
                ((name[:-k] + "*", name[-k:]) for k in lengths if name[-k:] in others), None
            )
            if found is not None:
                additions[side, found[0]] += 1
                example.setdefault((side, found[0]), (name, found[1]))
    if not additions:
        if not images or not labels:
            return ""
        return (
            f"an image and its label have the same name, and here they are called as {min(images)} and {min(labels)}: "
            "rename one of the two"
        )
    (key, number), *_ = additions.most_common(1)
    name, match = example[key]
    other = "image" if key[0] == "label" else "label"
    return (
        f"{count(number, key[0])} named {key[1]} where the {other} is *, as {name} and {match}: an image and its label "
        "have the same name, so rename one of them"
    )
