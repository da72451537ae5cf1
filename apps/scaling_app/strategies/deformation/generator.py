"""Generators of new anatomy in the geodesic subspace: coefficients of a deformation of a given case.

`GaussianGenerator` draws a new shape from the group's (shrunk) normal distribution and returns the way from
the case to it. `AdversarialGenerator` is the paper's conditional GAN in the form that few cases can bear: it
acts on the subspace coefficients and not on fields. Real samples are the coefficients of the registered
pairs, c_j - c_i; the condition is the case's own coefficients and a coarse code of its image.

N cases give N (N - 1) *dependent* pairs of rank N - 1. A GAN adds no rank, it only shapes the density, so it
is trained only for `FEWEST_FOR_ADVERSARIAL` cases and more, and kept only where it describes held-out cases
better than the Gaussian by the energy score, a proper score, in a paired comparison (`choose_generator`).

Sources: Chu et al., "Revisiting Data Scaling in Medical Image Segmentation via Topology-Aware Augmentation",
https://arxiv.org/abs/2511.13883; Shen et al., "Anatomical Data Augmentation via Fluid-based Image
Registration", MICCAI 2020, https://arxiv.org/abs/2007.02447; Miyato et al., "Spectral Normalization for
Generative Adversarial Networks", ICLR 2018; Gneiting and Raftery, "Strictly proper scoring rules,
prediction, and estimation", JASA 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from scaling_app.imaging.randomness import seeded

FEWEST_FOR_GAUSSIAN = 4
FEWEST_FOR_ADVERSARIAL = 15
_NOISE = 8
_HIDDEN = 64


class Generator(Protocol):
    """Draws coefficients of a deformation of case `index`."""

    name: str

    def draw(self, index: int, generator: torch.Generator) -> Tensor:
        """`(K,)`: new shape's coefficients less those of the case."""
        ...


class GaussianGenerator:
    """New shapes from a normal distribution with the group's deviations."""

    name = "gaussian"

    def __init__(self, coefficients: Tensor, deviations: Tensor) -> None:
        """Takes `(N, K)` coefficients and `(K,)` deviations, mm."""
        self._coefficients, self._deviations = coefficients, deviations

    def draw(self, index: int, generator: torch.Generator) -> Tensor:
        """The way from the case to a new shape."""
        noise = torch.randn(len(self._deviations), generator=generator, device=generator.device).cpu()
        return noise * self._deviations - self._coefficients[index]


class AdversarialGenerator:
    """A conditional GAN on subspace coefficients; trains in seconds on a CPU."""

    name = "adversarial"

    def __init__(
        self,
        coefficients: Tensor,
        codes: Tensor,
        deviations: Tensor,
        seed: int,
        *,
        steps: int = 400,
        left_out: int | None = None,
    ) -> None:
        """Trains at once.

        Args:
            coefficients: `(N, K)`.
            codes: `(N, C)` coarse image codes.
            deviations: `(K,)`, the unit of each coefficient.
            seed: of weights and noise.
            steps: of both players.
            left_out: a case that no pair touches, for the comparison.
        """
        self._unit = deviations.clamp(min=1e-6)
        scaled = coefficients / self._unit
        self._condition = torch.cat([scaled, codes], dim=1)
        rng = torch.Generator().manual_seed(seed)
        with seeded(seed):
            self._network, critic = self._players(self._condition.shape[1], scaled.shape[1])
        kept = [i for i in range(len(scaled)) if i != left_out]
        pairs = torch.tensor([(i, j) for i in kept for j in kept if i != j])
        self._train(critic, scaled, pairs, steps, rng)

    @staticmethod
    def _players(condition: int, size: int) -> tuple[nn.Module, nn.Module]:
        network = nn.Sequential(
            nn.Linear(condition + _NOISE, _HIDDEN),
            nn.SiLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.SiLU(),
            nn.Linear(_HIDDEN, size),
        )
        critic = nn.Sequential(
            spectral_norm(nn.Linear(condition + size, _HIDDEN)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(_HIDDEN, _HIDDEN)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(_HIDDEN, 1)),
        )
        return network, critic

    def _train(
        self, critic: nn.Module, scaled: Tensor, pairs: Tensor, steps: int, rng: torch.Generator
    ) -> None:
        """Hinge losses; the generator is also kept from answering alike to different noise."""
        players = [
            torch.optim.Adam(p.parameters(), lr=rate, betas=(0.5, 0.9))
            for p, rate in ((self._network, 1e-3), (critic, 2e-3))
        ]
        for _ in range(steps):
            picked = pairs[torch.randint(len(pairs), (64,), generator=rng)]
            condition = self._condition[picked[:, 0]]
            real = scaled[picked[:, 1]] - scaled[picked[:, 0]]
            noise = torch.randn(2, len(picked), _NOISE, generator=rng)
            fake = [self._network(torch.cat([condition, z], dim=1)) for z in noise]
            judged = [critic(torch.cat([condition, x], dim=1)) for x in (real, fake[0].detach())]
            loss = (1 - judged[0]).relu().mean() + (1 + judged[1]).relu().mean()
            self._step(players[1], loss)
            spread = (fake[0] - fake[1]).abs().mean(dim=1) / (noise[0] - noise[1]).abs().mean(dim=1)
            loss = -critic(torch.cat([condition, fake[0]], dim=1)).mean() - 0.5 * spread.clamp(max=1.0).mean()
            self._step(players[0], loss)
        self._network.eval().requires_grad_(False)

    @staticmethod
    def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def draw(self, index: int, generator: torch.Generator) -> Tensor:
        """The way from the case to a generated shape."""
        noise = torch.randn(_NOISE, generator=generator, device=generator.device).cpu()
        with torch.no_grad():
            return self._network(torch.cat([self._condition[index], noise])) * self._unit


@dataclass(frozen=True)
class Comparison:
    """Mean energy scores of held-out cases (lower is better), in units of the coefficients' deviations."""

    gaussian: float
    adversarial: float
    wins: bool


def energy_score(drawn: Tensor, real: Tensor) -> float:
    """`E |X - y| - E |X - X'| / 2` of draws `(M, K)` against one outcome `(K,)`."""
    near = (drawn - real).norm(dim=1).mean()
    between = torch.cdist(drawn, drawn).sum() / (len(drawn) * (len(drawn) - 1))
    return float(near - between / 2)


def compare(coefficients: Tensor, codes: Tensor, deviations: Tensor, seed: int, most: int = 5) -> Comparison:
    """Leaves cases out one by one, and scores both generators on the pairs that lead to them.

    The GAN wins when its mean score is better by more than one standard error of the paired differences. Where it is
    behind after two cases or more it has lost, and is not trained again: each time takes seconds.
    """
    unit = deviations.clamp(min=1e-6)
    rng = torch.Generator().manual_seed(seed)
    held = torch.randperm(len(coefficients), generator=rng)[:most].tolist()
    scores = []
    for case in held:
        rest = [i for i in range(len(coefficients)) if i != case]
        spread = coefficients[rest].std(dim=0).clamp(min=1e-6)
        players = (
            GaussianGenerator(coefficients, spread),
            AdversarialGenerator(coefficients, codes, deviations, seed, left_out=case),
        )
        pair = []
        for player in players:
            each = []
            for source in rest[:: max(1, len(rest) // 6)]:
                drawn = torch.stack([player.draw(source, rng) for _ in range(48)])
                each.append(energy_score(drawn / unit, (coefficients[case] - coefficients[source]) / unit))
            pair.append(sum(each) / len(each))
        scores.append(pair)
        table = torch.tensor(scores)
        gain = table[:, 0] - table[:, 1]
        if len(gain) > 1 and gain.mean() <= 0:
            break
    margin = float(gain.std() / len(gain) ** 0.5) if len(gain) > 1 else float("inf")
    return Comparison(float(table[:, 0].mean()), float(table[:, 1].mean()), float(gain.mean()) > margin)


def check_kind(wanted: str) -> None:
    """Raises ValueError for a kind of generator that does not exist."""
    if wanted not in ("auto", "gaussian", "adversarial"):
        raise ValueError(f"genda_generator is auto, gaussian or adversarial, got {wanted!r}")


def choose_generator(
    coefficients: Tensor, codes: Tensor, deviations: Tensor, seed: int, wanted: str
) -> tuple[Generator, Comparison | None]:
    """The generator of the wanted kind: `gaussian`, `adversarial`, or `auto` (the winner).

    Raises:
        ValueError: another kind.
    """
    check_kind(wanted)
    gaussian = GaussianGenerator(coefficients, deviations)
    few = len(coefficients) < FEWEST_FOR_ADVERSARIAL
    if (
        wanted == "gaussian"
        or coefficients.shape[1] == 0
        or len(coefficients) < 3
        or (few and wanted == "auto")
    ):
        return gaussian, None
    if wanted == "adversarial":
        return AdversarialGenerator(coefficients, codes, deviations, seed), None
    comparison = compare(coefficients, codes, deviations, seed)
    if not comparison.wins:
        return gaussian, comparison
    return AdversarialGenerator(coefficients, codes, deviations, seed), comparison
