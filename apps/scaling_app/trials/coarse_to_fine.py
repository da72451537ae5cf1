"""Two looks at a case whose structures fill little of it: a coarse one finds them, a fine one segments there.

The coarse network sees whole cases at large voxels. The fine one is trained in the boxes about the labels, and asked
in the boxes about what the coarse one found. Elsewhere, and where nothing was found, the coarse answer stands.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from scaling_app.imaging.geometry import Canonical
from scaling_app.imaging.resampling import resize_map
from scaling_app.trials.boxes import on_grid, parts_of, touching
from scaling_app.trials.inference import kept_within_ram, predict
from scaling_app.trials.plan import Plan
from scaling_app.trials.preparation import prepare_image

MOST_BOXES = 32
"""In what else the coarse look found, its own answer stands."""
_BACKGROUND = 0.5

Look = tuple[nn.Module, Plan]


def probability_maps(
    coarse: Look, fine: Look, image: MetaTensor, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """Class index and probability `(*S)` in turn, on the image's voxels in canonical order."""
    turn = Canonical.of(image)
    shape = tuple(turn.apply(image).shape[1:])
    found = predict(*coarse, prepare_image(coarse[1], image), device)
    boxes = parts_of(_suspected(found), *fine[1].reach(coarse[1].spacing))[:MOST_BOXES]
    boxes = boxes[::-1]  # the one about the largest part comes last, and stands where two overlap
    insides = [on_grid(box, found.shape[1:], shape) for box in boxes]

    def looked_at() -> Iterator[Tensor]:
        for box, inside in zip(boxes, insides, strict=True):
            part = predict(*fine, prepare_image(fine[1], image, inside), device)
            in_box = (slice(None), *box)
            yield _believed(part, found[in_box])

    parts = [*kept_within_ram(looked_at())]
    for index in range(len(coarse[1].class_values)):
        whole = resize_map(found[index], shape)
        for inside, part in zip(insides, parts, strict=True):
            whole[inside] = resize_map(part[index], whole[inside].shape)
        yield index, whole


def _suspected(probabilities: Tensor) -> Tensor:
    return probabilities[0] < _BACKGROUND


@torch.inference_mode()
def _believed(fine: Tensor, coarse: Tensor) -> Tensor:
    """The fine answer, but for those of its parts that the coarse look saw nothing of."""
    seen = resize_map(_suspected(coarse), fine.shape[1:]) > 0
    own = _suspected(fine)
    unseen = own & ~touching(own, seen)
    fine.masked_fill_(unseen, 0)
    fine[0].masked_fill_(unseen, 1)
    return fine
