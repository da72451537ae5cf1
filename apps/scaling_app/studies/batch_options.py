"""The options of a batch inference, checked: MONAI Label's own ends with an error of Python on most that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

MOST_WORKERS = 16

_WHOLE = {"max_workers": MOST_WORKERS, "max_batch_size": 10**9}
_TEXTS = ("gpus", "device", "logging", "label_tag", "result_extension")
_YES_OR_NO = ("multi_gpu", "save_label", "reveal")


def parse_batch_options(params: Mapping[str, object], has_image: Callable[[str], bool]) -> dict[str, object]:
    """Those of the options that a batch inference has; others are left out.

    Raises:
        ValueError: one that cannot be used.
    """
    known: dict[str, object] = {"max_workers": 1}
    for name in _TEXTS:
        if params.get(name) is not None:
            known[name] = params[name]
            if not isinstance(params[name], str):
                wanted = 'a text such as "0,1"' if name == "gpus" else "a text"
                raise ValueError(f"{name} must be {wanted}, got {params[name]!r}.")
    for name in _YES_OR_NO:
        if params.get(name) is not None:
            known[name] = params[name]
            if not isinstance(params[name], bool):
                raise ValueError(f"{name} must be true or false, got {params[name]!r}.")
    for name, most in _WHOLE.items():
        value = params.get(name)
        if value is not None:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 0 to {most}, got {value!r}.")
            known[name] = value
    images = params.get("images")
    if isinstance(images, list):
        strange = [image for image in images if not isinstance(image, str) or not has_image(image)]
        if strange:
            raise ValueError(f"There is no image {strange[0]!r} in the datastore.")
        known["images"] = images
    elif images is not None and images not in ("all", "labeled", "unlabeled"):
        raise ValueError(f"images must be all, labeled, unlabeled or a list of images, got {images!r}.")
    elif images is not None:
        known["images"] = images
    return known
