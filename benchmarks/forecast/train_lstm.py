"""Trains the LSTM surrogate: the weights that ship, and for the benchmark a set without each data set of the bank.

    python -m benchmarks.forecast.train_lstm [--bank benchmarks/bank/results]

What it learns from: `lstm_curves.py`. The loss is the Gaussian log score of the change of the logit error. About a minute
of one core for each data set of the bank, and one for the weights that ship.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.forecast.bank import Curve, bank_files, read_bank
from benchmarks.forecast.lstm_curves import (
    FEWEST_SIZES,
    HELD_OUT,
    Batch,
    ObservedCurves,
    SimulatedCurves,
    write_held_out,
)
from scaling_app.forecast.prior import DATA
from scaling_app.forecast.rivals.lstm import INPUTS

HIDDEN, HEAD = 24, 24
SIMULATED, OBSERVED = 208, 48
"""Sequences of a step."""


class Surrogate(nn.Module):
    """One LSTM layer, then two dense layers on (state, ln n / n_last)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(INPUTS, HIDDEN, batch_first=True)
        self.head = nn.Sequential(nn.Linear(HIDDEN + 1, HEAD), nn.Tanh(), nn.Linear(HEAD, 2))

    def forward(self, features: torch.Tensor, log_ratio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(B, K, INPUTS)`, `(B, Q)` -> mean and ln sd `(B, Q)` of the change."""
        state = self.lstm(features)[1][0][-1]
        state = state[:, None].expand(-1, log_ratio.shape[1], -1)
        out = self.head(torch.cat([state, log_ratio[..., None] / 3.0], dim=-1))
        return out[..., 0], out[..., 1].clamp(-5.0, 1.0)

    def loss(self, batch: Batch) -> torch.Tensor:
        """`(B,)` negative log score of a batch, up to a constant."""
        features, log_ratio, change = (
            torch.tensor(a, dtype=torch.float32) for a in (batch.features, batch.log_ratio, batch.change)
        )
        mean, log_sd = self(features, log_ratio)
        return (0.5 * ((change - mean) / log_sd.exp()) ** 2 + log_sd).mean(1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights under the names that the inference reads."""
        lstm, (first, _, second) = self.lstm, self.head
        tensors = {
            "input": lstm.weight_ih_l0, "recurrent": lstm.weight_hh_l0, "bias": lstm.bias_ih_l0 + lstm.bias_hh_l0,
            "head_1": first.weight, "head_1_bias": first.bias, "head_2": second.weight, "head_2_bias": second.bias,
        }  # fmt: skip
        return {name: t.detach().numpy().astype(np.float32) for name, t in tensors.items()}


def fit(bank: Sequence[Curve], steps: int) -> Surrogate:
    """Trains on these curves of the bank, the library and simulated curves; the same seed every time."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    simulated, observed = SimulatedCurves(bank), ObservedCurves(bank)
    model = Surrogate()
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        losses = [model.loss(simulated.batch(SIMULATED, rng))]
        if observed:
            losses.append(model.loss(observed.batch(OBSERVED, rng)))
        loss = torch.cat(losses).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step}: " + ", ".join(f"{part.mean().item():.3f}" for part in losses), flush=True)
    return model


def main() -> None:
    """Writes `lstm.npz`, and the weights without each data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bank", type=Path, default=Path("benchmarks/bank/results"))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--out", type=Path, default=DATA / "lstm.npz")
    parser.add_argument("--held-out", type=Path, default=HELD_OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = bank_files(arguments.bank)
    bank = read_bank(files, min_sizes=FEWEST_SIZES) if files else []
    print(f"{len(bank)} curves of the bank", flush=True)
    np.savez_compressed(arguments.out, **fit(bank, arguments.steps).arrays())
    without = {}
    for task in sorted({curve.dataset for curve in bank}):
        print(f"without {task}", flush=True)
        without[task] = fit([c for c in bank if c.dataset != task], arguments.steps).arrays()
    write_held_out(without, SIMULATED * arguments.steps, arguments.held_out)


if __name__ == "__main__":
    main()
