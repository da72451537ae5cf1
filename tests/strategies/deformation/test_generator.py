"""The generators' promises on distributions that are known."""

from __future__ import annotations

import pytest
import torch

from scaling_app.strategies.deformation import generator as generators
from scaling_app.strategies.deformation.generator import (
    AdversarialGenerator,
    GaussianGenerator,
    choose_generator,
    compare,
    energy_score,
)


def known(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(count, 3, generator=rng) * torch.tensor([3.0, 1.0, 0.5])
    coefficients -= coefficients.mean(dim=0)
    return coefficients, torch.zeros(count, 4), coefficients.std(dim=0)


def test_gaussian_shapes_have_the_groups_spread() -> None:
    coefficients, _, deviations = known(20)
    rng = torch.Generator().manual_seed(0)
    generator = GaussianGenerator(coefficients, deviations)
    shapes = torch.stack([coefficients[3] + generator.draw(3, rng) for _ in range(2000)])
    assert torch.allclose(shapes.std(dim=0), deviations, rtol=0.1)
    assert float((shapes.mean(dim=0) / deviations).abs().max()) < 0.1


def test_adversarial_shapes_stay_in_the_groups_range_and_vary() -> None:
    coefficients, codes, deviations = known(20)
    generator = AdversarialGenerator(coefficients, codes, deviations, seed=0)
    rng = torch.Generator().manual_seed(0)
    shapes = torch.stack([coefficients[3] + generator.draw(3, rng) for _ in range(300)]) / deviations
    assert float(shapes.abs().max()) < 8.0
    assert float(shapes.std(dim=0).min()) > 0.1
    twins = [AdversarialGenerator(coefficients, codes, deviations, seed=0, steps=20) for _ in range(2)]
    draws = [g.draw(1, torch.Generator().manual_seed(5)) for g in twins]
    assert torch.equal(*draws)


def test_the_energy_score_prefers_the_true_distribution() -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.randn(200, 2, generator=rng)
    right, wide, shifted = (torch.randn(400, 2, generator=rng) * s + m for s, m in ((1, 0), (4, 0), (1, 2)))
    mean = [sum(energy_score(drawn, y) for y in real) for drawn in (right, wide, shifted)]
    assert mean[0] < mean[1] and mean[0] < mean[2]


def test_normal_coefficients_leave_the_gaussian_in_place() -> None:
    comparison = compare(*known(16), seed=0, most=2)
    assert not comparison.wins
    assert comparison.gaussian < comparison.adversarial + 0.5


def test_a_gan_that_is_behind_is_not_trained_for_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int | None] = []

    class Shifted(AdversarialGenerator):
        def __init__(self, *args, left_out: int | None = None, **more) -> None:
            trained.append(left_out)
            super().__init__(*args, left_out=left_out, **(more | {"steps": 1}))

        def draw(self, index: int, generator: torch.Generator) -> torch.Tensor:
            return 0 * super().draw(index, generator) + 100.0

    monkeypatch.setattr(generators, "AdversarialGenerator", Shifted)
    comparison = compare(*known(16), seed=0)
    assert not comparison.wins and len(set(trained)) == 2


def test_few_shapes_are_not_given_to_a_gan_unasked() -> None:
    chosen, comparison = choose_generator(*known(10), seed=0, wanted="auto")
    assert chosen.name == "gaussian" and comparison is None
    assert choose_generator(*known(10), seed=0, wanted="adversarial")[0].name == "adversarial"
    with pytest.raises(ValueError, match="diffusion"):
        choose_generator(*known(10), seed=0, wanted="diffusion")
