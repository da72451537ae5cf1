"""The networks there are, one entry each: trainings, options, command line and the app's page read this table.

It imports no torch: `networks` makes each by the function of its name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes:
        speed: voxels that it takes in a step, in those that `resunet` takes in the same time on a CPU.
        bytes_per_voxel: memory of a training step for each voxel of a batch and channel at full resolution.
        peak_rate: the highest learning rate of its trainings.
        what: a few words for people; empty where the name says all.
        average: decay per step of the running mean of the weights that becomes the model; 0 where the last weights do.
        multiple: what each side of a patch must be divisible by; None where the strides decide.
        planar: whether it takes pictures and slices alone.
        keeps_slices: whether few slices count as thick ones, whatever size a file states, and are never merged.
        deepens: whether larger patches get more levels.
    """

    speed: float
    bytes_per_voxel: int
    peak_rate: float
    what: str = ""
    average: float = 0.0
    multiple: int | None = None
    planar: bool = False
    keeps_slices: bool = False
    deepens: bool = False


NETWORKS: dict[str, Network] = {
    "resenc": Network(
        0.22,
        120,
        5e-3,
        "residual encoder, full resolution",
        average=0.99,
        keeps_slices=True,
        deepens=True,
    ),
    "resunet": Network(1.0, 60, 1e-2, "for trainings of a minute"),
    "unet": Network(1.0, 60, 1e-2),
    "swinunetr": Network(0.1, 800, 1e-3, multiple=32),
    "segresnet": Network(0.25, 160, 5e-3, multiple=8),
    "dynunet": Network(0.5, 120, 5e-3),
    "deeplab": Network(0.25, 220, 1e-3, "pictures and slices", multiple=8, planar=True),
}
"""By its name; the first is the default."""

DEFAULT_NETWORK = next(iter(NETWORKS))
"""On the heart in 3D (8 cases) `resenc` learns in 150 processor seconds what `resunet` never reaches."""


def networks_in_words(quote: str = "") -> str:
    """`resenc (residual encoder, full resolution), resunet (...), ...`, with this around each name."""
    said = (f" ({network.what})" if network.what else "" for network in NETWORKS.values())
    return ", ".join(f"{quote}{name}{quote}{what}" for name, what in zip(NETWORKS, said, strict=True))
