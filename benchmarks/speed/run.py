"""How long one certified deformation of an image and its label takes on one core.

    python -m benchmarks.speed.run [--repeats 15]

Compared in the same run: reading the pair through a ready grid (the floor), our transform with a freshly
drawn field each time, and MONAI's Rand3DElasticd at its usual settings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from monai.transforms import Rand3DElasticd
from torch.nn import functional as F

from scaling_app.strategies.deformation.transforms import RandVelocityElasticd


def main() -> None:
    """Prints one JSON object per size, times in ms."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    for size in (64, 96):
        print(json.dumps(measure(size, repeats)))


def measure(size: int, repeats: int) -> dict[str, float | int]:
    """Median CPU times of one pair of `size`^3, the three kinds in turn so that noise hits all alike."""
    image = torch.rand(1, size, size, size)
    label = (image > 0.5).to(torch.uint8)
    data = {"image": image, "label": label}
    keys, modes = ["image", "label"], ["bilinear", "nearest"]
    ours = RandVelocityElasticd(keys, mode=modes)
    ours.set_random_state(seed=0)
    monai = Rand3DElasticd(keys, sigma_range=(5, 7), magnitude_range=(50, 150), prob=1.0, mode=modes)
    monai.set_random_state(seed=0)
    axes = torch.linspace(-1, 1, size)
    grid = torch.stack(torch.meshgrid(axes, axes, axes, indexing="ij")[::-1], dim=-1)[None]
    grid = grid + 0.02 * torch.randn_like(grid)

    def bare() -> None:
        F.grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
        F.grid_sample(label[None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)

    kinds: dict[str, Callable[[], object]] = {
        "bare": bare,
        "ours": lambda: ours(data),
        "monai": lambda: monai(data),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(repeats + 1):
        for name, work in kinds.items():
            began = time.process_time()
            work()
            if turn:
                times[name].append(1000 * (time.process_time() - began))
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "size": size,
        **{f"{name}_ms": round(value, 2) for name, value in median.items()},
        "ours_over_bare": round(median["ours"] / median["bare"], 2),
        "monai_over_ours": round(median["monai"] / median["ours"], 2),
    }


if __name__ == "__main__":
    main()
