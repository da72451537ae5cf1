"""Two looks at a case whose structures fill little of it: a coarse one finds them, a fine one segments there.

The coarse network sees whole cases at large voxels. The fine one is trained in the boxes about the labels, and asked
in the boxes about what the coarse one found. Elsewhere, and where nothing was found, the coarse answer stands.

However much the coarse look suspects, the fine network is shown no more than one sliding-window pass over the case would
show it: boxes that would take more together become one about all of them, and boxes inside others are no boxes. With the
windows half overlapping that is up to 8 times the voxels of the case on the fine grid, and what the edges of slabs add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from scaling_app.imaging.geometry import Canonical, spacing_of
from scaling_app.imaging.resampling import resize_map
from scaling_app.trials.boxes import Box, about_all, on_grid, parts_of, touching
from scaling_app.trials.inference import kept_within_ram, predict, voxels_shown
from scaling_app.trials.plan import Plan
from scaling_app.trials.preparation import prepare_image, prepared_shape

MOST_BOXES = 32
"""In what else the coarse look found, its own answer stands."""
_MOST_PARTS = 512
"""So many of the largest parts are boxed: noise has a hundred thousand."""
_BACKGROUND = 0.5

Look = tuple[nn.Module, Plan]


def probability_maps(
    coarse: Look, fine: Look, image: MetaTensor, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """Class index and probability `(*S)` in turn, on the image's voxels in canonical order."""
    turn = Canonical.of(image)
    shape = tuple(turn.apply(image).shape[1:])
    found = predict(*coarse, prepare_image(coarse[1], image), device)
    spacing = turn.turn(spacing_of(image))

    def shown(box: Box) -> int:
        inside = on_grid(box, found.shape[1:], shape)
        sides = tuple(side.stop - side.start for side in inside)
        return voxels_shown(fine[1], prepared_shape(fine[1], sides, spacing))

    boxes = _boxes(_suspected(found), *fine[1].reach(coarse[1].spacing), shown)
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


def _boxes(
    suspected: Tensor, by: Sequence[int], least: Sequence[int], shown: Callable[[Box], int]
) -> list[Box]:
    """Where the fine network looks, largest part first.

    Args:
        by, least: as in `widened`.
        shown: how many voxels the fine network is shown to predict a box.
    """
    boxes = parts_of(suspected, by, least, _MOST_PARTS)[:MOST_BOXES]
    whole = tuple(slice(0, n) for n in suspected.shape)
    most = shown(whole)
    if sum(map(shown, boxes)) <= most:
        return boxes
    about = about_all(boxes)
    return [about if shown(about) <= most else whole]


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
