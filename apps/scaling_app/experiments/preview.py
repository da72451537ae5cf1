"""A strategy's samples on a task's own images, to be looked at before anything is trained with them.

Writes `images/` and `labels/` of deformed cases on the plan's grid, `montage.png` (the case, the deformed
case, what happened to a regular grid, and where volume grew or shrank) and `quality.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from scaling_app.experiments.case_check import check_cases
from scaling_app.experiments.cohort import find_cases
from scaling_app.experiments.montage import GAP, montage_row, stack_rows
from scaling_app.experiments.preview_generative import preview_genseg
from scaling_app.imaging.nifti_files import write_volume
from scaling_app.storage import whole_file, write_whole_text
from scaling_app.strategies.base import PointMap, PreparedCase, Strategy, StrategyContext
from scaling_app.strategies.deformation.quality import QualityReport
from scaling_app.strategies.deformation.shape_coverage import shape_coverage
from scaling_app.strategies.deformation.velocity import Deformation
from scaling_app.strategies.deformation.warping import warp_volumes
from scaling_app.strategies.generative import GenSeg
from scaling_app.strategies.making import make_strategy
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.plan import Plan, make_plan

logger = logging.getLogger(__name__)

MOST_TRAINING = 8
MOST_POOL = 8
TITLE_HEIGHT = 16
_TITLES = ("case", "deformed case", "deformed grid", "volume: red grew, blue shrank")


def preview(
    strategy: str,
    images: Path | str,
    labels: Path | str,
    count: int,
    out: Path | str,
    *,
    seed: int = 0,
    on_phase: Callable[[str, int, int], None] | None = None,
) -> dict[str, object]:
    """Draws `count` samples of a strategy and writes them, a picture of them and their quality.

    The first `MOST_TRAINING` cases are taken as labelled, the next `MOST_POOL` as images without labels.

    Args:
        strategy: its name.
        images, labels: folders whose files share names.
        count: number of samples; the labelled cases take turns, and every second sample is an image of the pool
            under its carried label where the strategy trains on such.
        out: folder for the results; registrations are kept in `out/cache`.
        seed: of everything random.
        on_phase: told of a phase of the work, and how much of it is done, of how much.

    Returns:
        The content of `quality.json`.

    Raises:
        ValueError: no such strategy, folders without cases, or cases that cannot be used, which it names.
    """
    made = make_strategy(strategy)
    if isinstance(made, GenSeg):
        written = preview_genseg(strategy, images, labels, count, out, seed=seed, on_phase=on_phase)
        return json.loads(written.read_text())
    out, tell = Path(out), on_phase or (lambda *_: None)
    files = find_cases(images, labels)
    training, rest = files[:MOST_TRAINING], files[MOST_TRAINING : MOST_TRAINING + MOST_POOL]
    tell("preparing cases", 0, len(training) + len(rest))
    check_cases([*training, *rest])
    plan = make_plan(training, coarse_to_fine=False)
    prepared = PreparedCases(plan, [*training, *rest], out / "cache", 2**30)
    cases = [prepared[unit] for unit in _spread(prepared.units([f.case_id for f in training]), MOST_TRAINING)]
    pool = [
        _without_label(prepared[u]) for u in _spread(prepared.units([f.case_id for f in rest]), MOST_POOL)
    ]
    context = StrategyContext(
        plan.spatial_dims,
        plan.believed_spacing,
        plan.patch,
        plan.classes,
        seed,
        count,
        pool=pool,
        cache_dir=out / "cache",
        of_slices=plan.slice_axis is not None,
        mirrored=plan.mirrored,
    )
    tell("learning from the cases", 0, len(cases) + len(pool))
    made.prepare(cases, context)
    quality = QualityReport(plan.classes)
    rows: list[NDArray[Any]] = []
    generator = torch.Generator().manual_seed(seed)
    for index in range(count):
        case = _sample(cases, made.added_cases(), index)
        deformation = made.deformation(case, generator)
        quality.add(case, deformation)
        image, label = _deformed(made, case, deformation, generator)
        _write(out, f"{index:03d}_{_plain(case.case_id)}", image, label, plan)
        tell("samples", index + 1, count)
        if len(rows) < 12:
            rows.append(montage_row(case, image, label, deformation, plan.spacing))
    with whole_file(out / "montage.png") as part:
        _titled(rows).save(part)
    content = {"strategy": strategy, **quality.payload(), **_subspace(made, cases), "report": made.report()}
    write_whole_text(out / "quality.json", json.dumps(content, indent=2, allow_nan=False))
    return content


def _titled(rows: Sequence[NDArray[Any]]) -> Image.Image:
    """The rows under the titles of their panels, which stand where those of the first row begin."""
    pictures = Image.fromarray(stack_rows(rows))
    sheet = Image.new("RGB", (pictures.width, pictures.height + TITLE_HEIGHT), "white")
    sheet.paste(pictures, (0, TITLE_HEIGHT))
    draw = ImageDraw.Draw(sheet)
    for panel, title in enumerate(_TITLES):
        draw.text((panel * (rows[0].shape[1] + GAP) // len(_TITLES) + 2, 2), title, fill="black")
    return sheet


def _spread(units: Sequence[str], most: int) -> list[str]:
    if len(units) <= most:
        return list(units)
    return [units[int(i)] for i in np.linspace(0, len(units) - 1, most)]


def _sample(cases: Sequence[PreparedCase], added: Sequence[PreparedCase], index: int) -> PreparedCase:
    """The case of a sample, in turn; as in training every second one is of the strategy's added cases."""
    if added:
        index, is_added = divmod(index, 2)
        cases = added if is_added else cases
    return cases[index % len(cases)]


def _without_label(case: PreparedCase) -> PreparedCase:
    return PreparedCase(case.case_id, case.patient, case.image, None)


def _deformed(
    made: Strategy, case: PreparedCase, deformation: PointMap | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Image and label of a sample on the whole grid of its case."""
    image, label = case.image.float(), case.known_label
    if isinstance(deformation, Deformation):
        image, label = warp_volumes([image, label], [True, False], deformation)
    return made.appearance(image[None], generator)[0], label


def _subspace(made: Strategy, cases: Sequence[PreparedCase]) -> dict[str, float | int | None]:
    group = getattr(made, "group", None)
    if group is None:
        return {"subspace_modes_90": None, "shape_coverage": None}
    return {
        "subspace_modes_90": group.modes_90,
        "shape_coverage": shape_coverage(group.atlas, group.labelled, cases),
    }


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def _write(out: Path, name: str, image: Tensor, label: Tensor, plan: Plan) -> None:
    """NIfTI for volumes, PNG for pictures; intensities as the plan normalises them."""
    if plan.spatial_dims == 3:
        channels = image.movedim(0, -1).squeeze(-1).numpy()
        for folder, array in (("images", channels), ("labels", label[0].numpy())):
            with whole_file(out / folder / f"{name}.nii.gz") as part:
                write_volume(array, plan.spacing, part)
        return
    low, high = np.quantile(image.numpy(), [0.005, 0.995])
    grey = ((image - low) / max(high - low, 1e-6)).clamp(0, 1).mul(255).byte()
    picture = grey.movedim(0, -1) if len(grey) == 3 else grey[0]
    for folder, plane in (("images", picture.transpose(0, 1)), ("labels", label[0].T)):
        with whole_file(out / folder / f"{name}.png") as part:
            Image.fromarray(plane.contiguous().numpy()).save(part)
