"""Trains the LSTM surrogate and writes its weights.

    python benchmarks/forecast/train_lstm.py

Curves: the weak component of the prior, the templates of LCDB 1.1's tuning part at 1 to 8 samples per case,
and the bank's curves where there is one. Each sequence has 3 to 8 increasing sizes with noise of 0.5 to 4 Dice
points, each query lies between 1/2 and 16 times the last size; the loss is the Gaussian log score of the
change of the logit error. About two minutes of one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from scaling_app.forecast.families import expit, logit, power_law_error
from scaling_app.forecast.lstm import STEPS, step_features
from scaling_app.forecast.prior import DATA, shipped_templates, weak_component

HIDDEN, HEAD, QUERIES = 24, 24, 4


class Surrogate(nn.Module):
    """One LSTM layer, then two dense layers on (state, ln n / n_last)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, HIDDEN, batch_first=True)
        self.head = nn.Sequential(nn.Linear(HIDDEN + 1, HEAD), nn.Tanh(), nn.Linear(HEAD, 2))

    def forward(self, features: torch.Tensor, log_ratio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(B, K, 5)`, `(B, Q)` -> mean and ln sd `(B, Q)` of the change."""
        state = self.lstm(features)[1][0][-1]
        state = state[:, None].expand(-1, log_ratio.shape[1], -1)
        out = self.head(torch.cat([state, log_ratio[..., None] / 3.0], dim=-1))
        return out[..., 0], out[..., 1].clamp(-5.0, 1.0)


def all_templates() -> list[np.ndarray]:
    """Groups of curve parameters that are drawn from with equal probability."""
    table = shipped_templates()
    groups = [weak_component(4096).templates]
    for scale in (1.0, 2.0, 4.0, 8.0):
        component = table.component("lcdb", scale=scale)
        if component is not None:
            groups.append(component.templates)
    bank = table.component("bank")
    return [*groups, bank.templates, bank.templates] if bank is not None else groups


def batch(groups: list[np.ndarray], size: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Features `(B, K, 5)`, ln ratios `(B, Q)` and changes of the true logit error `(B, Q)` from the noisy last one."""
    steps = int(rng.integers(3, STEPS + 1))
    group = rng.integers(len(groups), size=size)
    theta = np.array([groups[g][rng.integers(len(groups[g]))] for g in group])
    first = np.exp(rng.uniform(np.log(2), np.log(16), size))
    ratio = np.exp(rng.uniform(np.log(1.25), np.log(2.2), (size, steps - 1)))
    n = np.round(first[:, None] * np.cumprod(np.column_stack([np.ones(size), ratio]), axis=1))
    log_ratio = rng.uniform(np.log(0.5), np.log(16), (size, QUERIES))
    sizes = np.column_stack([n, n[:, -1:] * np.exp(log_ratio)])
    error = power_law_error(theta, sizes)
    shift = rng.normal(0, 0.35, (size, 1))
    wiggle = np.cumsum(rng.normal(0, 0.04, sizes.shape), axis=1)
    error = expit(logit(error) + shift + wiggle)
    noise = rng.normal(size=(size, steps)) * np.exp(rng.uniform(np.log(0.005), np.log(0.04), (size, 1)))
    observed = np.clip(error[:, :steps] + noise, 0.004, 0.99)
    count = np.exp(rng.uniform(0, np.log(60), (size, steps)))
    features = step_features(n, 1 - observed, count, "resunet", "baseline")
    return features, log_ratio, logit(error[:, steps:]) - logit(observed[:, -1:])


def main() -> None:
    """Trains and writes `lstm.npz`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    groups = all_templates()
    model = Surrogate()
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, arguments.steps)
    for step in range(arguments.steps):
        features, log_ratio, change = (torch.tensor(a, dtype=torch.float32) for a in batch(groups, 256, rng))
        mean, log_sd = model(features, log_ratio)
        loss = (0.5 * ((change - mean) / log_sd.exp()) ** 2 + log_sd).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 250 == 0:
            print(f"step {step}: {loss.item():.3f}", flush=True)
    save(model, DATA / "lstm.npz")


def save(model: Surrogate, path: Path) -> None:
    """Writes the weights under the names that the inference reads."""
    lstm, (first, _, second) = model.lstm, model.head
    arrays = {
        "input": lstm.weight_ih_l0, "recurrent": lstm.weight_hh_l0, "bias": lstm.bias_ih_l0 + lstm.bias_hh_l0,
        "head_1": first.weight, "head_1_bias": first.bias, "head_2": second.weight, "head_2_bias": second.bias,
    }  # fmt: skip
    np.savez_compressed(path, **{name: a.detach().numpy().astype(np.float32) for name, a in arrays.items()})


if __name__ == "__main__":
    main()
