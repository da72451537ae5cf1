"""The generator's side of GenSeg: stage I, making pairs, and the outer step's update.

Stage I is a conditional GAN on real pairs: least squares for the discriminator, Charbonnier distance of the
generator's mean to the real image, and of the local strength of fine detail. Stage III's gradient arrives as dF / d image (`hypergradient.py`) and is carried to the
architecture weights, which have an optimiser of their own, and, bounded to a tenth of stage I's gradient,
to the generator's weights.

References:
    X. Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017, https://arxiv.org/abs/1611.04076
    S. Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020,
    https://arxiv.org/abs/2006.10738 (what the discriminator sees is varied, real and generated alike)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_app.imaging.randomness import seeded
from scaling_app.imaging.whole_steps import whole_step
from scaling_app.strategies.generative.fields import FieldNoise, IntensityFields
from scaling_app.strategies.generative.hypergradient import (
    ImageHypergradient,
    Pairs,
    joint_norm,
    outer_gradient,
)
from scaling_app.strategies.generative.networks import (
    PatchDiscriminator,
    SearchableGenerator,
    low_pass,
    neighbourhood,
    texture_energy,
    texture_noise,
)
from scaling_app.strategies.generative.settings import GenSegSettings

_DISTANCE_WEIGHT = 20.0
_TEXTURE_WEIGHT = 10.0
_FEEDBACK_SHARE = 0.1
_BETAS = (0.5, 0.999)
_SURE_DISCRIMINATOR = 0.95
_PATIENCE = 100


@dataclass(frozen=True)
class GeneratorTask:
    """What the generator is for: K classes, C channels, the patch and its spacing in mm."""

    classes: int
    channels: int
    patch: tuple[int, ...]
    spacing: tuple[float, ...]

    @property
    def low_pass_factors(self) -> tuple[int, ...]:
        """Voxels that the context averages over: 8 along the finest axis, the same length along others."""
        finest = min(self.spacing)
        return tuple(max(1, round(8 * finest / s)) for s in self.spacing)

    @property
    def radii(self) -> tuple[int, ...]:
        """Voxels round a label that are generated too: a sixteenth of the patch, none on thin axes."""
        return tuple(max(1, edge // 16) if edge >= 8 else 0 for edge in self.patch)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Leaves the run's half precision, on the device and on the CPU, where patches are drawn, and a GPU's TF32.

    Differences of losses and point coordinates lose their digits in them, and adversaries their balance.
    """
    rounded = torch.backends.cudnn.allow_tf32
    with torch.autocast(device.type, enabled=False), torch.autocast("cpu", enabled=False):
        torch.backends.cudnn.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32 = rounded


class Noise(NamedTuple):
    """`texture (B, C, *P)` goes into the generator, `change (B, 2)` varies what the discriminator sees, and
    `fields`, where there are any, what the segmenter sees."""

    texture: Tensor
    change: Tensor
    fields: FieldNoise | None


class GeneratorTrainer:
    """Generator and discriminator with their optimisers.

    Args:
        task: what is generated.
        settings: see `GenSegSettings`.
        seed: of the initial weights and the noise.
        device: where the networks live.
    """

    def __init__(
        self, task: GeneratorTask, settings: GenSegSettings, seed: int, device: torch.device
    ) -> None:
        self.task, self.settings, self.device = task, settings, device
        with seeded(seed):
            self.generator = SearchableGenerator(
                task.classes, task.channels, task.patch, width=settings.width, context=settings.context
            ).to(device)
            self.discriminator = PatchDiscriminator(task.classes, task.channels, task.patch).to(device)
        self.fields = IntensityFields().to(device)
        architecture = self.generator.architecture
        self.architecture_at_start = architecture.detach().clone()
        self.weight_optimizer = torch.optim.Adam(self.generator.weight_parameters(), lr=2e-3, betas=_BETAS)
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=4e-4, betas=_BETAS
        )
        # decay apart from the gradient (AdamW): a hypergradient is small, its scale that of one step
        self.architecture_optimizer = torch.optim.AdamW(
            [architecture], lr=3e-2, betas=_BETAS, eps=1e-12, weight_decay=1e-3
        )
        self.fields_optimizer = torch.optim.Adam(self.fields.parameters(), lr=3e-2, betas=_BETAS, eps=1e-12)
        self.steps = 0
        self.discriminator_accuracy: float | None = None
        self._sure_steps = 0

    def one_hot(self, label: Tensor) -> Tensor:
        """`(B, 1, *P)` class indices to `(B, K, *P)` float32 on the device."""
        hot = F.one_hot(label[:, 0].long().to(self.device), self.task.classes)
        return hot.movedim(-1, 1).float()

    def generate(self, pairs: Pairs, noise: Noise) -> Tensor:
        """Images for `pairs.label` in the surroundings `pairs.image`, as the segmenter is to see them.

        Carries the graph of the generator and of the fields.
        """
        return self.seen_through(self.paint(pairs, noise), noise)

    def paint(self, pairs: Pairs, noise: Noise) -> Tensor:
        """What the network makes of `pairs.label`; without a network, the surroundings themselves."""
        image = pairs.image.to(self.device)
        if not self.settings.network:
            return image
        one_hot = self.one_hot(pairs.label)
        with full_precision(self.device):
            return self._compose(self._raw(one_hot, image, noise), image, one_hot)

    def seen_through(self, image: Tensor, noise: Noise) -> Tensor:
        """`image (B, C, *P)` through the intensity fields, where there are any."""
        if noise.fields is None:
            return image
        with full_precision(self.device):
            return self.fields(image.to(self.device), noise.fields)

    def noise_like(self, image: Tensor, generator: torch.Generator) -> Noise:
        """Fresh noise for `image (B, C, *P)`."""
        texture = texture_noise(image.float().cpu(), self.task.low_pass_factors, generator)
        change = torch.randn((image.shape[0], 2), generator=generator)
        fields = self.fields.draw(image, generator) if self.settings.fields else None
        if fields is not None:
            fields = FieldNoise(*(noise.to(self.device) for noise in fields))
        return Noise(texture.to(self.device), change.to(self.device), fields)

    def stage_one(
        self, pairs: Pairs, noise: Noise, *, known: bool = True, feedback: Sequence[Tensor] | None = None
    ) -> bool:
        """One step of discriminator and generator on real pairs.

        Args:
            pairs: real pairs.
            noise: from `noise_like`.
            known: False for images without labels, whose classes are given as equally likely.
            feedback: dF / d weights from an outer step, added at the length of a tenth of the own gradient.

        Returns:
            Whether the step was made; a network whose loss is not finite stays as it is.
        """
        with full_precision(self.device):
            return self._stage_one(pairs, noise, known, feedback)

    def _stage_one(self, pairs: Pairs, noise: Noise, known: bool, feedback: Sequence[Tensor] | None) -> bool:
        image = pairs.image.to(self.device)
        one_hot = self.one_hot(pairs.label)
        if not known:
            one_hot = torch.full_like(one_hot, 1 / self.task.classes)
        where = neighbourhood(one_hot, self.task.radii) if self.settings.compose and known else None
        weight = torch.ones_like(image) if where is None else (where + 0.1).expand_as(image)
        mean, gain = self.generator.mean_and_gain(one_hot, self._context(image), noise.texture)
        fake = mean + gain * noise.texture
        composed = fake if where is None else where * fake + (1 - where) * image
        painted, real = (texture_energy(x, self.task.low_pass_factors) for x in (fake, image))
        loss = _DISTANCE_WEIGHT * _distance(mean, image, weight)
        loss = loss + _TEXTURE_WEIGHT * _distance(painted, real, weight)
        playing = self._discriminator_plays and known
        if playing:
            loss = loss + ((self._judge(one_hot, composed, noise) - 1) ** 2).mean()
        weights = self.generator.weight_parameters()
        found = torch.autograd.grad(loss, weights, allow_unused=True)  # candidates not chosen get none
        gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]
        norm = joint_norm(gradients)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            return False
        if feedback is not None and (own := joint_norm(feedback)) > 0:
            share = _FEEDBACK_SHARE * norm / own
            gradients = [g + share * f for g, f in zip(gradients, feedback, strict=True)]
        _step(self.weight_optimizer, weights, gradients)
        self.steps += 1
        return self._train_discriminator(one_hot, image, composed.detach(), noise) if playing else True

    def outer_step(self, generated: Tensor, real: Tensor, gradient: ImageHypergradient) -> list[Tensor]:
        """Moves architecture weights and strengths of the fields down the validation loss.

        Args:
            generated: `(B, C, *P)`, with its graph.
            real: `(R, C, *P)`, with that of the fields, if any.
            gradient: what the images should become.

        Returns:
            dF / d weights for `stage_one`.
        """
        weights = self.generator.weight_parameters() if self.settings.feedback else []
        architecture, strength = self.generator.architecture, self.fields.log_strength
        images, slopes = [generated], [gradient.image]
        if gradient.real_image is not None:
            images, slopes = [*images, real], [*slopes, gradient.real_image]
        gradients = outer_gradient(images, slopes, [architecture, strength, *weights])
        if not torch.isfinite(joint_norm(gradients)):
            return []
        if self.settings.network and self.settings.architecture and architecture.numel():
            _step(self.architecture_optimizer, [architecture], gradients[:1])
        if self.settings.fields:
            _step(self.fields_optimizer, [strength], gradients[1:2])
            self.fields.keep_in_range()
        return gradients[2:]

    def max_change(self) -> float:
        """The largest change of an architecture weight since the start."""
        change = self.generator.architecture.detach() - self.architecture_at_start
        return float(change.abs().max()) if change.numel() else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers and counters: tensors and plain values."""
        return {
            **{name: part.state_dict() for name, part in self._parts().items()},
            "architecture_at_start": self.architecture_at_start,
            "steps": self.steps,
            "discriminator_accuracy": self.discriminator_accuracy,
            "sure_steps": self._sure_steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up `state_dict`'s content, whole or not at all.

        Raises:
            ValueError: the state belongs to another task (other classes, channels or patch) or version.
        """
        # compared first: torch copies every tensor that fits before it refuses the others
        own, parts = self.state_dict(), self._parts()
        if not own.keys() <= state.keys() or any(_form(state[name]) != _form(own[name]) for name in parts):
            raise ValueError("the generator's state is of another task or version")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        self.architecture_at_start = state["architecture_at_start"].to(self.device)
        self.steps = int(state["steps"])
        self.discriminator_accuracy = state["discriminator_accuracy"]
        self._sure_steps = int(state["sure_steps"])

    def restart_search(self) -> None:
        """Makes a discretised generator searchable again (new labels have arrived), and lets its adversary play."""
        self.generator.chosen.zero_()
        self._sure_steps = 0
        self.architecture_at_start = self.generator.architecture.detach().clone()

    @property
    def _discriminator_plays(self) -> bool:
        """A discriminator that has been sure for long says nothing useful any more."""
        return self.settings.adversarial and self._sure_steps < _PATIENCE

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        names = ("generator", "discriminator", "fields")
        moved = ("weight", "discriminator", "architecture", "fields")
        return {name: getattr(self, name) for name in (*names, *(f"{part}_optimizer" for part in moved))}

    def _raw(self, one_hot: Tensor, image: Tensor, noise: Noise) -> Tensor:
        return self.generator(one_hot, self._context(image), noise.texture)

    def _context(self, image: Tensor) -> Tensor | None:
        return low_pass(image, self.task.low_pass_factors) if self.settings.context else None

    def _compose(self, fake: Tensor, image: Tensor, one_hot: Tensor) -> Tensor:
        if not self.settings.compose:
            return fake
        where = neighbourhood(one_hot, self.task.radii)
        return where * fake + (1 - where) * image

    def _train_discriminator(self, one_hot: Tensor, real: Tensor, fake: Tensor, noise: Noise) -> bool:
        on_real, on_fake = self._judge(one_hot, real, noise), self._judge(one_hot, fake, noise)
        loss = 0.5 * (((on_real - 1) ** 2).mean() + (on_fake**2).mean())
        weights = list(self.discriminator.parameters())
        gradients = torch.autograd.grad(loss, weights)
        if not torch.isfinite(joint_norm(gradients)):
            return False
        _step(self.discriminator_optimizer, weights, gradients)
        right = 0.5 * float((on_real > 0.5).float().mean() + (on_fake < 0.5).float().mean())
        before = right if self.discriminator_accuracy is None else self.discriminator_accuracy
        self.discriminator_accuracy = 0.95 * before + 0.05 * right
        sure = self.discriminator_accuracy > _SURE_DISCRIMINATOR
        self._sure_steps = self._sure_steps + 1 if sure else 0
        return True

    def _judge(self, one_hot: Tensor, image: Tensor, noise: Noise) -> Tensor:
        """The discriminator on a varied view; real and generated images are varied alike."""
        shape = (2, -1, *[1] * (image.dim() - 1))
        contrast, brightness = noise.change.T.reshape(shape)
        return self.discriminator(one_hot, image * (1 + 0.1 * contrast) + 0.1 * brightness)


def _distance(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Charbonnier distance: smooth where the absolute one has a kink."""
    return (weight * torch.sqrt((first - second) ** 2 + 1e-4)).sum() / weight.sum()


def _form(state: Mapping[str, Any]) -> object:
    """Names and shapes of a network's tensors; how many weights each group of an optimiser has."""
    if "param_groups" in state:
        return [len(group["params"]) for group in state["param_groups"]]
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _step(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    with whole_step(optimizer):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
