"""Our registration and SimpleITK's diffeomorphic demons, side by side, by images alone.

    python -m benchmarks.speed.registration --data DIR [--pairs 8]

Both start from the same placement on the same grid and never see a label; the labels then tell how well the
source's structures were carried onto the target's. Times are wall and CPU seconds on one thread each. Beside
the app's own number of steps stand fewer ones (`quick`), chosen on other pairs: the trade of time for accuracy.
Needs SimpleITK.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from torch import Tensor

from scaling_app.experiments.cohort import find_cases
from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation.alignment import Frame, View, look_at, resample
from scaling_app.strategies.deformation.atlas import build_atlas, register_unlabelled
from scaling_app.strategies.deformation.registration import RegistrationSettings, Template, register, warp
from scaling_app.trials.plan import make_plan
from scaling_app.trials.preparation import prepare

QUICK = RegistrationSettings(iterations=(24, 4), step=0.03)


def main() -> None:
    """Prints mean and standard deviation over the pairs of Dice and seconds as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    files = find_cases(options.data / "images", options.data / "labels")
    files = files[:: max(1, len(files) // (2 * options.pairs))][: 2 * options.pairs]
    plan = make_plan(files)
    found = []
    for first, second in zip(files[::2], files[1::2], strict=True):
        pair = [PreparedCase(f.case_id, f.patient, *prepare(plan, f)) for f in (first, second)]
        found.append(compare(*pair, plan.spacing, plan.classes))
    columns = {name: np.array([row[name] for row in found]) for name in found[0]}
    for name in ("ours", "quick"):
        columns[f"dice_{name}_over_demons"] = columns[f"dice_{name}"] - columns["dice_demons"]
    summary = {
        name: [_rounded(values.mean()), _rounded(values.std(ddof=1))] for name, values in columns.items()
    }
    print(json.dumps({"pairs": len(found), "mean and standard deviation": summary}, indent=1))


def _rounded(value: float) -> float:
    return round(float(value), 4)


def compare(
    source: PreparedCase, target: PreparedCase, spacing: tuple[float, ...], structures: dict[str, int]
) -> dict[str, float]:
    """Carries the source onto the target by both, and scores the labels on the common grid."""
    atlas = build_atlas([source], spacing, structures)
    frame = atlas.frame
    placement = register_unlabelled(atlas, target, spacing).placement
    bare = PreparedCase(target.case_id, target.patient, target.image, None)
    view = look_at(bare, placement, frame, atlas.shared)
    masks = [
        resample(torch.stack([(case.label[0] == v).float() for v in atlas.shared]), where, frame.grid)[0]
        for case, where in ((source, atlas.members[source.case_id].placement), (target, placement))
    ]

    def ours(settings: RegistrationSettings) -> Tensor:
        velocity = register(atlas.template, view, frame, settings)
        return warp(masks[0], velocity, frame.nodes, frame.grid.shape)

    methods = {
        "ours": lambda: ours(RegistrationSettings()),
        "quick": lambda: ours(QUICK),
        "demons": lambda: warp_by_itk(masks[0], demons(atlas.template, view, frame), frame),
    }
    found = {"dice_before": dice(masks[0], masks[1])}
    for name, carry in methods.items():
        began = time.perf_counter(), time.process_time()
        carried = carry()
        found[f"wall_s_{name}"] = time.perf_counter() - began[0]
        found[f"cpu_s_{name}"] = time.process_time() - began[1]
        found[f"dice_{name}"] = dice(carried, masks[1])
    return found


def picture(values: Tensor, frame: Frame) -> sitk.Image:
    """A volume `(*G)` of the frame as SimpleITK's image."""
    image = sitk.GetImageFromArray(values.permute(*reversed(range(values.ndim))).contiguous().numpy())
    image.SetSpacing([float(h) for h in frame.grid.step_mm])
    return image


def demons(template: Template, view: View, frame: Frame) -> sitk.Image:
    """Three resolutions of diffeomorphic demons, 1.5 voxels of smoothing, histograms matched."""
    fixed, moving = picture(view.image[0], frame), picture(template.image[0], frame)
    moving = sitk.HistogramMatching(moving, fixed, 256, 10)
    field = None
    for shrink, iterations in ((4, 60), (2, 60), (1, 40)):
        small = [
            sitk.Shrink(
                sitk.SmoothingRecursiveGaussian(x, 0.5 * shrink * min(frame.grid.step_mm)),
                [shrink] * frame.grid.dims,
            )
            if shrink > 1
            else x
            for x in (fixed, moving)
        ]
        registration = sitk.DiffeomorphicDemonsRegistrationFilter()
        registration.SetNumberOfIterations(iterations)
        registration.SetStandardDeviations(1.5)
        registration.SetSmoothDisplacementField(True)
        if field is None:
            field = registration.Execute(*small)
        else:
            field = registration.Execute(*small, sitk.Resample(field, small[0]))
    return field


def warp_by_itk(values: Tensor, field: sitk.Image, frame: Frame) -> Tensor:
    """Channels `(K, *G)` read through a displacement field."""
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    warped = [sitk.Resample(picture(v, frame), picture(v, frame), transform, sitk.sitkLinear) for v in values]
    return torch.stack(
        [
            torch.from_numpy(sitk.GetArrayFromImage(w)).permute(*reversed(range(values.ndim - 1)))
            for w in warped
        ]
    )


def dice(a: Tensor, b: Tensor) -> float:
    """Mean Dice of occupancies `(K, *G)`."""
    a, b = (a >= 0.5).flatten(1), (b >= 0.5).flatten(1)
    return float((2 * (a & b).sum(1) / (a.sum(1) + b.sum(1)).clamp(min=1)).mean())


if __name__ == "__main__":
    main()
