"""From an image on any grid to class probabilities and a label map on that same grid.

The image is brought to the plan's grid, a window slides over it (half overlap, Gaussian weights), and the
probabilities are brought back class by class. Memory is bounded: large volumes are worked through in
slabs, and probabilities are kept in half precision, on disk when they are large.
"""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, combinations, product

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from scaling_app.imaging.geometry import Canonical
from scaling_app.imaging.label_numbers import exchanged
from scaling_app.imaging.networks import padded_shape, patch_multiples, thick_axis
from scaling_app.imaging.resampling import largest, resize_map
from scaling_app.trials.plan import Plan
from scaling_app.trials.preparation import prepare_image

logger = logging.getLogger(__name__)

_SLAB_BYTES = 64 * 2**20
_IN_RAM_BYTES = 1024 * 2**20
_OVERLAP = 0.5
_SLICES = 8
_SHORTEST_IN_BFLOAT16, _FEWEST_IN_BFLOAT16 = 3, 4


@cache
def gains_from_bfloat16(device_type: str) -> bool:
    """Whether the processor multiplies bfloat16 faster than float32 (by its capabilities, not by timing)."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device_type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in capabilities)


def uses_bfloat16(device: torch.device, plan: Plan) -> bool:
    """Whether a plan's network runs in bfloat16: where that is faster, and right.

    On processors, 3D convolutions of feature maps shorter than 3 along their first axis leave weight gradients
    uninitialised in bfloat16 (torch 2.13), for patches of 16 voxels already; so do 2D ones of maps of two pixels. Trying
    it at run time is no way to find out: some such shapes damage the heap. So the coarsest level is worked out from the
    patch.
    """
    if not gains_from_bfloat16(device.type):
        return False
    if device.type == "cuda":
        return True
    multiples = patch_multiples(plan.network, plan.spatial_dims, plan.strides)
    padded = padded_shape(plan.patch, multiples)
    if plan.spatial_dims == 2:
        return math.prod(padded) >= _FEWEST_IN_BFLOAT16 * math.prod(multiples)
    first = {0, thick_axis(plan.network, plan.strides) or 0}  # a network may move its slices to the front
    return all(padded[axis] // multiples[axis] >= _SHORTEST_IN_BFLOAT16 for axis in first)


def reduced_precision(device: torch.device, plan: Plan) -> contextlib.AbstractContextManager[object]:
    """Autocast to bfloat16 where `uses_bfloat16`, else nothing; weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(device, plan))


def predict(network: nn.Module, plan: Plan, prepared: Tensor, device: torch.device) -> Tensor:
    """Class probabilities `(K, *S)`, float16, of a prepared image `(C, *S)`."""
    network.eval()
    with torch.inference_mode():
        if plan.slice_axis is not None:
            return _predict_slices(network, plan, prepared, device)
        return _predict_slabs(network, plan, prepared, device)


def segment(network: nn.Module, plan: Plan, image: MetaTensor, device: torch.device) -> MetaTensor:
    """The label map `(1, *S)` of an image, with the structures' values in the plan, on the image's grid."""
    return labelled(probability_maps(network, plan, image, device), plan, image)


def labelled(maps: Iterator[tuple[int, Tensor]], plan: Plan, image: MetaTensor) -> MetaTensor:
    """The label map `(1, *S)` of an image from its `probability_maps`."""
    turn = Canonical.of(image)
    indices = largest(maps, turn.apply(image).shape[1:])
    return to_label(turn.undo(indices), plan, image)


def probability_maps(
    network: nn.Module, plan: Plan, image: MetaTensor, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """Class index and probability `(*S)` in turn, on the image's voxels in canonical order."""
    shape = Canonical.of(image).apply(image).shape[1:]
    probabilities = predict(network, plan, prepare_image(plan, image), device)
    for index in range(len(plan.class_values)):
        yield index, resize_map(probabilities[index], shape)


def to_label(indices: Tensor, plan: Plan, image: MetaTensor) -> MetaTensor:
    """Class indices `(1, *S)` to label values, on the image's grid."""
    label = exchanged(indices.numpy(), dict(enumerate(plan.class_values)))
    return MetaTensor(torch.from_numpy(label), affine=image.affine)


def _predict_slabs(network: nn.Module, plan: Plan, prepared: Tensor, device: torch.device) -> Tensor:
    shape = tuple(prepared.shape[1:])
    classes = len(plan.class_values)
    out = _half_precision_array((classes, *shape))
    for core, read in _parts(shape, plan.patch, classes):
        inside = (slice(a - b.start, z - b.start) for (a, z), b in zip(core, read, strict=True))
        of_read, of_core = (slice(None), *read), (slice(None), *inside)
        into = (slice(None), *(slice(*ends) for ends in core))
        logits = _slide(network, plan, prepared[of_read][None], device)[0]
        out[into] = torch.softmax(logits[of_core], dim=0).half()
    return out


def voxels_shown(plan: Plan, shape: Sequence[int]) -> int:
    """How many voxels a network is shown to predict a prepared volume of this shape, one as often as it is in a window."""
    shown = 0
    for _, read in _parts(shape, plan.patch, len(plan.class_values)):
        windows = 1
        for part, side in zip(read, plan.patch, strict=True):
            step = max(1, int(side * (1 - _OVERLAP)))
            windows *= 1 + max(0, -(-(part.stop - part.start - side) // step))
        shown += windows * math.prod(plan.patch)
    return shown


def _parts(
    shape: Sequence[int], patch: Sequence[int], classes: int
) -> Iterator[tuple[tuple[tuple[int, int], ...], tuple[slice, ...]]]:
    """The `_cores` of a volume, and what is read of it for each: half a patch more on each side."""
    for core in _cores(shape, patch, classes):
        read = []
        for (start, stop), n, side in zip(core, shape, patch, strict=True):
            high = min(n, stop + side // 2)
            low = max(0, min(start - side // 2, high - side))  # a window is never filled up with zeros
            read.append(slice(low, high))
        yield core, tuple(read)


def _cores(shape: Sequence[int], patch: Sequence[int], classes: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Where the parts of a volume begin and end along each axis, which together are all of it.

    Slabs across the longest axis; cut along others too where a slab's logits, with half a patch more on each side, would
    not stay in RAM, but never below a patch.
    """
    longest = int(np.argmax(shape))
    thin = _SLAB_BYTES // (4 * classes * max(1, math.prod(shape) // shape[longest]))
    sides = [max(patch[axis], thin) if axis == longest else n for axis, n in enumerate(shape)]

    def logits_bytes() -> int:
        return (
            4 * classes * math.prod(min(n, side + p) for n, side, p in zip(shape, sides, patch, strict=True))
        )

    while logits_bytes() > _IN_RAM_BYTES and any(s > p for s, p in zip(sides, patch, strict=True)):
        axis = max(range(len(sides)), key=lambda a: sides[a] / patch[a])
        sides[axis] = max(patch[axis], -(-sides[axis] // 2))
    cuts = [
        [(start, min(n, start + side)) for start in range(0, n, side)]
        for n, side in zip(shape, sides, strict=True)
    ]
    return product(*cuts)


def _predict_slices(network: nn.Module, plan: Plan, prepared: Tensor, device: torch.device) -> Tensor:
    axis, slices = plan.slice_axis or 0, prepared.shape[1 + (plan.slice_axis or 0)]
    classes = len(plan.class_values)
    out = _half_precision_array((classes, *prepared.shape[1:]))
    logits_bytes = 4 * classes * prepared[0].numel() // slices
    if logits_bytes > _IN_RAM_BYTES:
        for index in range(slices):
            part = prepared.select(1 + axis, index)
            out.select(1 + axis, index).copy_(_predict_slabs(network, plan, part, device))
        return out
    together = min(_SLICES, _IN_RAM_BYTES // logits_bytes)
    for start in range(0, slices, together):
        count = min(together, slices - start)
        part = prepared.narrow(1 + axis, start, count).movedim(1 + axis, 0)
        found = torch.softmax(_slide(network, plan, part, device), dim=1)
        out.narrow(1 + axis, start, count).copy_(found.movedim(0, 1 + axis))
    return out


def _slide(network: nn.Module, plan: Plan, images: Tensor, device: torch.device) -> Tensor:
    """Logits `(B, K, *S)` of `(B, C, *S)`; windows run on `device`, sums on the CPU.

    Raises:
        torch.OutOfMemoryError: there is no room for one window.
    """
    windows = plan.batch
    while (found := _slide_by(windows, network, plan, images, device)) is None:
        logger.warning("out of memory with %d windows at a time: %d for this part", windows, windows // 2)
        windows //= 2
    return found


def _slide_by(
    windows: int, network: nn.Module, plan: Plan, images: Tensor, device: torch.device
) -> Tensor | None:
    """The same with so many windows at a time; None where there is no room for more than one."""
    sides = _sides(plan, device)

    def logits(shown: Tensor) -> Tensor:
        with reduced_precision(device, plan):
            passes = (network(shown.flip(side)).float().flip(side) for side in sides)
            total = next(passes)
            for one in passes:  # no more than two are held: of many classes each takes as much as the network
                total = total + one
        return total / len(sides)

    try:
        found = sliding_window_inference(
            images.float(),
            roi_size=plan.patch,
            sw_batch_size=windows,
            predictor=logits,
            overlap=_OVERLAP,
            mode="gaussian",
            sw_device=device,
            device=torch.device("cpu"),
        )
    except torch.OutOfMemoryError:
        if windows == 1:
            raise
        return None
    assert isinstance(found, Tensor)  # `logits` gives one output
    return found


def _sides(plan: Plan, device: torch.device) -> list[tuple[int, ...]]:
    """The axes of a batch to mirror, once for each pass of the network.

    Both sides of volumes on a processor are not worth up to eight times the wait: pictures gained 0.1 points.
    """
    axes = plan.mirrored if plan.spatial_dims == 2 or device.type == "cuda" else ()
    turned = (combinations(axes, count) for count in range(len(axes) + 1))
    return [tuple(2 + axis for axis in chosen) for chosen in chain.from_iterable(turned)]


def kept_within_ram(arrays: Iterable[Tensor]) -> Iterator[Tensor]:
    """Half-precision arrays as they come; on disk from where they would take more RAM together than one may."""
    taken = 0
    for array in arrays:
        taken += array.nbytes
        yield array if taken <= _IN_RAM_BYTES else _on_disk(tuple(array.shape)).copy_(array)


def _half_precision_array(shape: tuple[int, ...]) -> Tensor:
    if 2 * math.prod(shape) <= _IN_RAM_BYTES:
        return torch.empty(shape, dtype=torch.float16)
    return _on_disk(shape)


def _on_disk(shape: tuple[int, ...]) -> Tensor:
    with tempfile.TemporaryFile() as file:  # the mapping keeps the unnamed file alive
        return torch.from_numpy(np.memmap(file, dtype=np.float16, mode="w+", shape=shape))
