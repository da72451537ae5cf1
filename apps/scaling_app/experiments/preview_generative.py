"""Seeing GenSeg: generated pairs, a montage, and figures on how good they are.

The generator is trained as in a real run. Its pictures are patches of the training grid with normalised
intensities. They are written to the output folder alone, never to a datastore, and every file says
`synthetic` in its name and in its metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from scaling_app.experiments.case_check import check_cases
from scaling_app.experiments.cohort import find_cases
from scaling_app.imaging.nifti_files import write_volume
from scaling_app.storage import to_json, whole_file, write_whole_text
from scaling_app.strategies.base import PreparedCase, StrategyContext
from scaling_app.strategies.catalogue import generating
from scaling_app.strategies.generative import GenSeg
from scaling_app.strategies.generative.coupling import Coupling
from scaling_app.strategies.generative.masks import Patches
from scaling_app.strategies.generative.networks import neighbourhood
from scaling_app.strategies.generative.proof import diversity
from scaling_app.strategies.making import make_strategy
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.length import steps_for
from scaling_app.trials.model import TrainedModel
from scaling_app.trials.plan import make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.step_report import StepReport
from scaling_app.trials.training import train

logger = logging.getLogger(__name__)

MOST_CASES = 20
"""Cases to learn from, at most: GenSeg is for few."""

_COLUMNS = ("mask", "generated", "real, warped", "difference")
_COLOURS = np.array([[0, 0, 0], [230, 97, 0], [93, 58, 155], [26, 133, 255], [212, 17, 89], [64, 176, 166]])
_TILE = 160
_AT_ONCE = 4
_REAL_PATCHES = 64
_MEMORY_BYTES = 2**30


@dataclass(frozen=True)
class GeneratedPairs:
    """Generated images `(B, C, *P)`, the warped real ones they were made from, labels, and where they
    differ (the labels' neighbourhoods)."""

    image: Tensor
    source: Tensor
    label: Tensor
    where: Tensor
    case_ids: tuple[str, ...]


def preview_genseg(
    strategy: str,
    images: Path | str,
    labels: Path | str,
    count: int,
    out: Path | str,
    *,
    steps: int = 300,
    seed: int = 0,
    on_phase: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Trains a generator on the cases and writes what it makes.

    Args:
        strategy: one that generates.
        images, labels: folders whose files share names.
        count: generated pairs to write.
        out: folder for the pairs, `montage.png` and `quality.json`.
        steps: of the training whose generator is shown, and of the segmenter that judges it.
        on_phase: told of a phase of the work, and how much of it is done, of how much.

    Returns:
        The path of `quality.json`.

    Raises:
        ValueError: no pairs of files, one case alone, cases that cannot be used, or another strategy.
    """
    _generating(strategy)
    out = Path(out)
    files = find_cases(images, labels)
    chosen = np.random.default_rng(seed).permutation(len(files))[:MOST_CASES]
    files = [files[i] for i in sorted(chosen)]
    check_cases(files)
    out.mkdir(parents=True, exist_ok=True)
    plan = make_plan(files, coarse_to_fine=False)
    cases = PreparedCases(plan, files, out / "cache", _MEMORY_BYTES)
    settings = RunSettings(strategy=strategy, steps=steps, seed=seed)
    model = train(cases, cases.labelled, settings, on_step=_steps_of("training the generator", on_phase))
    coupling, prepared = _taken_up(strategy, cases, settings, model)
    pairs = generate(coupling, max(count, 8))
    unaware = RunSettings(steps=steps, seed=seed + 1)
    judge = train(cases, cases.labelled, unaware, on_step=_steps_of("training the judge", on_phase))
    quality = _quality(coupling, pairs, prepared, judge) | {"strategy": strategy, "cases": len(files)}
    quality["training"] = model.report
    write_pairs(pairs, count, cases.plan.spacing, out)
    with whole_file(out / "montage.png") as part:
        _montage(pairs, count).save(part, pnginfo=_png_note())
    return write_whole_text(out / "quality.json", to_json(quality, indent=2) + "\n")


def _generating(strategy: str) -> GenSeg:
    made = make_strategy(strategy)
    if not isinstance(made, GenSeg):
        raise ValueError(f"{strategy!r} generates nothing; use one of {', '.join(generating())}")
    return made


def _steps_of(
    phase: str, on_phase: Callable[[str, int, int], None] | None
) -> Callable[[StepReport], None] | None:
    if on_phase is None:
        return None
    return lambda report: on_phase(phase, report.step, report.steps)


def generate(coupling: Coupling, count: int) -> GeneratedPairs:
    """Fresh pairs from all the cases, painted a few at a time."""
    ids = [i for cases in coupling.rotation.cases_of.values() for i in cases]
    made: list[tuple[Tensor, ...]] = []
    sources: list[str] = []
    for first in range(0, count, _AT_ONCE):
        synthetic = coupling.synthesise(min(_AT_ONCE, count - first), ids, lambda image, _: image)
        patches: Patches = synthetic.patches
        where = neighbourhood(coupling.trainer.one_hot(patches.label), coupling.trainer.task.radii)
        made.append((synthetic.pairs.image.cpu(), patches.image, patches.label, where.cpu()))
        sources.extend(patches.case_ids)
    image, source, label, where = (torch.cat(parts) for parts in zip(*made, strict=True))
    return GeneratedPairs(image, source, label, where, tuple(sources))


def write_pairs(pairs: GeneratedPairs, count: int, spacing: Sequence[float], out: Path) -> None:
    """Each pair as two files: PNG in 2D, NIfTI in 3D; `synthetic` in name and metadata."""
    for i in range(min(count, len(pairs.case_ids))):
        for kind, tensor in (("image", pairs.image[i]), ("label", pairs.label[i])):
            name = f"synthetic_{i:03d}_{kind}"
            if tensor.dim() == 3:
                plane = tensor.transpose(1, 2)
                picture = _grey(plane) if kind == "image" else plane[0].numpy().astype(np.uint8)
                with whole_file(out / f"{name}.png") as part:
                    Image.fromarray(picture).save(part, pnginfo=_png_note())
            else:
                volume = (
                    tensor.movedim(0, -1).numpy().squeeze(-1) if len(tensor) == 1 else tensor.movedim(0, -1)
                )
                note = "synthetic: generated by GenSeg"
                with whole_file(out / f"{name}.nii.gz") as part:
                    write_volume(np.asarray(volume), spacing, part, note)


def _taken_up(
    strategy: str, cases: PreparedCases, settings: RunSettings, model: TrainedModel
) -> tuple[Coupling, list[PreparedCase]]:
    """The trained run's generator, ready to make pairs."""
    genseg, plan = _generating(strategy), cases.plan
    prepared = [cases[unit] for unit in cases.units(cases.labelled)]
    context = StrategyContext(
        spatial_dims=plan.spatial_dims,
        spacing=plan.believed_spacing,
        patch=plan.patch,
        structures=plan.classes,
        seed=settings.seed,
        steps=settings.steps or steps_for(len(prepared)),
        device=model.device,
        cache_dir=cases.cache_dir / "strategies",
        options=settings.options,
        of_slices=plan.slice_axis is not None,
        mirrored=plan.mirrored,
    )
    genseg.prepare(prepared, context)
    if genseg.coupling is None:
        raise ValueError("a preview of generated pairs needs the cases of at least two patients")
    genseg.load_state_dict(model.strategy_state)
    return genseg.coupling, prepared


def _quality(
    coupling: Coupling, pairs: GeneratedPairs, prepared: Sequence[PreparedCase], judge: TrainedModel
) -> dict[str, object]:
    trainer, guard = coupling.trainer, coupling.proof
    ids = [case.case_id for case in prepared]
    training = coupling.source.draw(_REAL_PATCHES, torch.Generator().manual_seed(1), among=ids).image
    nearest = [max(_similarity(image, real) for real in training) for image in pairs.image]
    between = diversity(pairs.image, pairs.where), diversity(pairs.source, pairs.where)
    return {
        "synthetic": True,
        "discriminator_accuracy": _discriminator_accuracy(coupling, pairs),  # None: nothing is painted
        "diversity": {"generated": between[0], "warped_real": between[1]},
        "nearest_training_image_similarity": _mean(nearest),
        "similarity_to_own_source": _mean(map(_similarity, pairs.image, pairs.source)),
        "dice_of_unaware_segmenter": {
            "generated": _agreement(judge, pairs.image, pairs.label),
            "warped_real": _agreement(judge, pairs.source, pairs.label),
        },
        "alignment": {
            "omega": guard.omega,
            "consistency": guard.consistency,
            "evidence": guard.evidence,
            "pair_weights": dict(
                zip(pairs.case_ids, guard.pair_weights(pairs.case_ids).tolist(), strict=True)
            ),
            "by_source_case": guard.of_source,
        },
        "architecture": trainer.generator.genotype() if trainer.settings.network else [],
        "guard": guard.state,
    }


def _discriminator_accuracy(coupling: Coupling, pairs: GeneratedPairs) -> float | None:
    """How often the trained discriminator tells these patches' neighbourhoods apart; None without a network."""
    trainer = coupling.trainer
    if not trainer.settings.network:
        return None
    one_hot = trainer.one_hot(pairs.label)
    with torch.no_grad():
        real = trainer.discriminator(one_hot, pairs.source.to(trainer.device))
        fake = trainer.discriminator(one_hot, pairs.image.to(trainer.device))
    return 0.5 * float((real > 0.5).float().mean() + (fake < 0.5).float().mean())


def _agreement(judge: TrainedModel, images: Tensor, labels: Tensor) -> dict[str, float | None]:
    """Mean Dice per structure of a segmenter that saw none of these images."""
    found: dict[str, list[float]] = {name: [] for name in judge.plan.classes}
    for image, label in zip(images, labels, strict=True):
        predicted = judge.predict(image).argmax(0)
        for name, value in judge.plan.classes.items():
            ours, theirs = predicted == value, label[0] == value
            if theirs.any():
                found[name].append(float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())))
    return {name: _mean(values) for name, values in found.items()}


def _similarity(first: Tensor, second: Tensor) -> float:
    """Correlation of two patches."""
    pair = torch.stack([first.flatten(), second.flatten()])
    if bool((pair.std(1) == 0).any()):
        return 0.0
    return float(torch.corrcoef(pair)[0, 1])


def _montage(pairs: GeneratedPairs, count: int) -> Image.Image:
    """One row per pair: mask, generated, real, difference; volumes by the slice with most label."""
    rows = min(count, len(pairs.case_ids))
    height, width = _slice(pairs.image[0], pairs.label[0]).shape[1:]
    scale = _TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    sheet = Image.new("RGB", (4 * (size[0] + 4), rows * (size[1] + 4) + 16), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(_COLUMNS):
        draw.text((column * (size[0] + 4) + 2, 2), title, fill="black")
    for row in range(rows):
        label = pairs.label[row]
        generated, real = _slice(pairs.image[row], label), _slice(pairs.source[row], label)
        low, high = _window(real)
        tiles = (
            _COLOURS[_slice(label, label)[0].numpy().astype(int) % len(_COLOURS)].astype(np.uint8),
            _grey(generated, low, high),
            _grey(real, low, high),
            _grey((generated - real).abs(), 0.0, (high - low) / 2),
        )
        for column, tile in enumerate(tiles):
            picture = Image.fromarray(tile).convert("RGB").resize(size, Image.Resampling.NEAREST)
            sheet.paste(picture, (column * (size[0] + 4), 16 + row * (size[1] + 4)))
    return sheet


def _slice(tensor: Tensor, label: Tensor) -> Tensor:
    """`(C, *P)` to `(C, H, W)`, x to the right: y runs down in pictures, as in their files, and up in volumes.

    Of a volume the slice, along the last axis, that holds most label.
    """
    if tensor.dim() == 3:
        return tensor.transpose(1, 2)
    return tensor[..., int((label[0] > 0).sum((0, 1)).argmax())].transpose(1, 2).flip(1)


def _window(image: Tensor) -> tuple[float, float]:
    low, high = np.percentile(image.numpy(), [1, 99])
    return float(low), float(max(high, low + 1e-6))


def _grey(image: Tensor, low: float | None = None, high: float | None = None) -> NDArray[Any]:
    """`(C, H, W)` to `(H, W)` or, with three channels, `(H, W, 3)`, uint8."""
    if low is None or high is None:
        low, high = _window(image)
    scaled = ((image - low) / (high - low)).clamp(0, 1).mul(255).byte()
    return scaled.movedim(0, -1).numpy() if len(image) == 3 else scaled[0].numpy()


def _png_note() -> PngInfo:
    note = PngInfo()
    note.add_text("synthetic", "true")
    return note


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return sum(values) / len(values) if values else None
