r"""How the validation loss feels a generated image, through the segmenter's own training step.

The true one-step objective of an outer parameter `a` (architecture, generator weights) is

    F(a) = L_val(w'),   w' = w - xi * grad_w [ L_real(w) + sum_i c_i l(S_w(x_i(a)), y_i) ]

with `x_i(a)` the generated image of pair `i` and `c_i` its weight. By the chain rule, with
`v = grad L_val(w')`,

    dF/dx_i = -xi c_i  d/dx_i <v, grad_w l(S_w(x_i), y_i)>

and the inner product is a directional derivative of the loss along `v`, which two more passes give by a
central difference **in image space** (no second-order graph):

    dF/dx_i = -xi c_i ( grad_x l(S_{w + eps v}(x_i)) - grad_x l(S_{w - eps v}(x_i)) ) / (2 eps),  eps = R / |v|.

`dF/da` is then one ordinary backward pass of the generator. The same two passes give for nothing the
*alignment* `a_i = <grad_w l_i, v> = (l_i(w + eps v) - l_i(w - eps v)) / (2 eps)`: positive when training
on pair `i` lowers the validation loss. Real images may depend on `a`, too (intensity fields); `dF/dx` of
theirs is the same difference of `grad_x L_real`.

Assumed: the segmenter's activations are smooth. With ReLU the map `a -> F` has kinks and the difference
measures them (the alignment stays useful). The segmenter is called through `functional_call` with copies
of its buffers, so its weights, running statistics and the random state are exactly what they were.

References:
    H. Liu et al., "DARTS", ICLR 2019, https://arxiv.org/abs/1806.09055 (finite-difference products)
    M. Ren et al., "Learning to Reweight Examples for Robust Deep Learning", ICML 2018,
    https://arxiv.org/abs/1803.09050 (weights from gradient alignment)
    L. Zhang et al., Nature Communications 16:6486 (2025), https://arxiv.org/abs/2408.17421
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from scaling_app.imaging.randomness import seeded
from scaling_app.strategies.base import Loss

Weights = Mapping[str, Tensor]


class Pairs(NamedTuple):
    """`image (B, C, *P)` and `label (B, 1, *P)`."""

    image: Tensor
    label: Tensor


@dataclass(frozen=True)
class ImageHypergradient:
    """What one outer step needs to know.

    Attributes:
        image: `(B, C, *P)`, dF / d generated image.
        real_image: `(R, C, *P)`, dF / d real image, where asked for.
        alignment: `(B,)`, `<grad_w l_i, v> / |v|`: the slope of each pair's loss along `v`.
        unpainted: `(B,)`, the same of the pairs with the images that were painted on.
        validation_loss: `F` at the present generator: the validation loss after the look-ahead step.
    """

    image: Tensor
    real_image: Tensor | None
    alignment: Tensor
    unpainted: Tensor
    validation_loss: float

    @property
    def finite(self) -> bool:
        """False when anything overflowed: such a step must be skipped."""
        parts = (self.image, self.real_image, self.alignment, self.unpainted)
        return all(bool(torch.isfinite(part).all()) for part in parts if part is not None)


class FrozenSegmenter:
    """Evaluates a network at other weights without touching it, always with the same dropout."""

    def __init__(self, network: nn.Module, seed: int = 0) -> None:
        self._network = network
        self._buffers = {name: b.detach() for name, b in network.named_buffers()}
        self._seed = seed
        self.weights: dict[str, Tensor] = {
            name: p.detach() for name, p in network.named_parameters() if p.requires_grad
        }

    def logits(self, weights: Weights, image: Tensor) -> Tensor:
        """`(B, K, *P)` at `weights`."""
        buffers = {name: b.clone() for name, b in self._buffers.items()}
        with seeded(self._seed, image.device):  # dropout draws the same masks at every pass
            # tied weights stand in `weights` once; asked to tie them, torch would leave them moved afterwards
            return functional_call(self._network, {**weights, **buffers}, (image,), tie_weights=False)

    def loss(self, weights: Weights, loss: Loss, pairs: Pairs) -> Tensor:
        """The loss of the batch as a whole at `weights`."""
        return loss(self.logits(weights, pairs.image), pairs.label)

    def losses(self, weights: Weights, loss: Loss, pairs: Pairs) -> Tensor:
        """The loss of each pair, `(B,)`, at `weights`."""
        return pair_losses(loss, self.logits(weights, pairs.image), pairs.label)

    def moved(self, direction: Weights, amount: float | Tensor) -> dict[str, Tensor]:
        """New weights `w + amount * direction`."""
        return {name: w + amount * direction[name] for name, w in self.weights.items()}


def pair_losses(loss: Loss, logits: Tensor, label: Tensor) -> Tensor:
    """The loss of every sample on its own, `(B,)`."""
    return torch.stack([loss(logits[i : i + 1], label[i : i + 1]) for i in range(logits.shape[0])])


def joint_norm(tensors: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of the values of one or more tensors together, a scalar without a graph."""
    first, *others = [(tensor.detach() ** 2).sum() for tensor in tensors]
    return torch.sqrt(sum(others, first))


def training_gradient(
    segmenter: FrozenSegmenter, loss: Loss, real: Pairs, synthetic: Pairs, weights: Tensor
) -> dict[str, Tensor]:
    """grad_w of the loss on `real` plus `sum_i weights_i l_i` on `synthetic`, at the weights now."""
    leaves = {name: w.clone().requires_grad_() for name, w in segmenter.weights.items()}
    total = segmenter.loss(leaves, loss, real)
    total = total + (weights * segmenter.losses(leaves, loss, synthetic)).sum()
    return _gradient(total, leaves)


def image_hypergradient(
    segmenter: FrozenSegmenter,
    loss: Loss,
    real: Pairs,
    synthetic: Pairs,
    validation: Pairs,
    *,
    unpainted: Tensor,
    weights: Tensor,
    step_gradient: Weights,
    step_size: float,
    radius: float = 1e-3,
    through_real: bool = False,
) -> ImageHypergradient:
    """dF / d image of every generated pair, and the pairs' alignments.

    Args:
        segmenter: the network, frozen at `w`.
        loss: the training loss.
        real: the real pairs of the step.
        synthetic: the generated pairs; no image's graph is followed.
        validation: pairs of a case that is in neither training set of this step.
        unpainted: `(B, C, *P)`, the images that the generated ones were painted on.
        weights: `(B,)`, the pairs' weights `c_i` in the training loss.
        step_gradient: the gradient of the whole training loss at `w` (see `training_gradient`).
        step_size: xi, the length of the look-ahead step per unit of gradient.
        radius: R, how far `w` is moved to either side for the difference, `|eps v|`.
        through_real: whether dF / d real image is wanted, too.

    Returns:
        The gradient and the alignments. Non-finite numbers are passed on; ask `finite`.
    """
    ahead = {n: w.clone().requires_grad_() for n, w in segmenter.moved(step_gradient, -step_size).items()}
    validation_loss = segmenter.loss(ahead, loss, validation)
    v = _gradient(validation_loss, ahead)
    norm = joint_norm(v.values())
    eps = radius / norm
    image = synthetic.image.detach().requires_grad_()
    real_image = real.image.detach().requires_grad_()
    sides = []
    for sign in (1.0, -1.0):
        moved = segmenter.moved(v, sign * eps)
        losses = segmenter.losses(moved, loss, Pairs(image, synthetic.label))
        slopes = list(torch.autograd.grad((weights * losses).sum(), image))
        if through_real:
            total = segmenter.loss(moved, loss, Pairs(real_image, real.label))
            slopes += torch.autograd.grad(total, real_image)
        with torch.no_grad():
            plain = segmenter.losses(moved, loss, Pairs(unpainted, synthetic.label))
        sides.append((losses.detach(), plain, slopes))
    (above, above_plain, above_slopes), (below, below_plain, below_slopes) = sides
    slopes = [-step_size * (a - b) / (2 * eps) for a, b in zip(above_slopes, below_slopes, strict=True)]
    return ImageHypergradient(
        image=slopes[0],
        real_image=slopes[1] if through_real else None,
        alignment=(above - below) / (2 * radius),
        unpainted=(above_plain - below_plain) / (2 * radius),
        validation_loss=float(validation_loss.detach()),
    )


def outer_gradient(
    images: Sequence[Tensor], gradients: Sequence[Tensor], outer: Sequence[nn.Parameter]
) -> list[Tensor]:
    """Carries dF / d image back to outer parameters: one backward pass of what made the images.

    Args:
        images: each `(B, C, *P)`. From one without a graph to an outer parameter (a detached image) the
            gradient is exactly zero.
        gradients: dF / d image of each.
        outer: the parameters to differentiate with respect to.
    """
    made = [(image, g) for image, g in zip(images, gradients, strict=True) if image.requires_grad]
    if not made:
        return [torch.zeros_like(p) for p in outer]
    from_image, slopes = zip(*made, strict=True)
    found = torch.autograd.grad(from_image, list(outer), slopes, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(outer, found, strict=True)]


def _gradient(value: Tensor, leaves: Weights) -> dict[str, Tensor]:
    gradients = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if g is None else g.detach()
        for (name, leaf), g in zip(leaves.items(), gradients, strict=True)
    }
