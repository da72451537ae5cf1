"""A trained network with its plan: what a run leaves behind."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from scaling_app.imaging.geometry import Canonical, read_image
from scaling_app.imaging.networks import build_network
from scaling_app.trials import inference
from scaling_app.trials.plan import Plan

_FORMAT = 1
Report = dict[str, float | int | str | bool]


@dataclass
class TrainedModel:
    """A network on the plan's grid.

    Attributes:
        train_ids: the cases it was trained on.
        report: what happened in training, finite numbers and words.
        strategy_state: what the strategy wants to take up in a later training.
    """

    plan: Plan
    network: nn.Module
    train_ids: tuple[str, ...]
    report: Report
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    strategy_state: Mapping[str, object] = field(default_factory=dict)

    def save(self, path: Path | str) -> Path:
        """Writes weights, plan and report, whole or not at all."""
        content = {
            "format": _FORMAT,
            "plan": self.plan.to_json(),
            "weights": {
                name: weight.detach().cpu().contiguous() for name, weight in self.network.state_dict().items()
            },
            "train_ids": list(self.train_ids),
            "report": json.dumps(self.report),
            "strategy": dict(self.strategy_state),
        }
        return write_whole(content, Path(path))

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str | None = None) -> TrainedModel:
        """Reads a model that `save` wrote; nothing in the file is executed.

        Raises:
            ValueError: missing, damaged or of another version.
        """
        content = read_safely(Path(path))
        if content.get("format") != _FORMAT:
            raise ValueError(f"{Path(path).name} is not a model of this version; train again")
        plan = Plan.from_json(content["plan"])
        device = torch.device(device) if device is not None else default_device()
        network = new_network(plan)
        network.load_state_dict(content["weights"])
        ids, report = tuple(content["train_ids"]), json.loads(content["report"])
        return cls(plan, network.to(device).eval(), ids, report, device, content["strategy"])

    def segment(self, image: MetaTensor | Path | str) -> MetaTensor:
        """Label values `(1, *S)` uint8 on the image's own grid, of any spacing and orientation."""
        return inference.segment(self.network, self.plan, _opened(image), self.device)

    def probabilities(self, image: MetaTensor | Path | str) -> MetaTensor:
        """Class probabilities `(K, *S)` float16 on the image's own grid, classes as `plan.class_values`."""
        image = _opened(image)
        turn = Canonical.of(image)
        maps = inference.probability_maps(self.network, self.plan, image, self.device)
        found = torch.stack([probability.half() for _, probability in maps])
        return MetaTensor(turn.undo(found).contiguous(), affine=image.affine)

    def predict(self, prepared: Tensor) -> Tensor:
        """Class probabilities `(K, *S)` of an image on the plan's grid."""
        return inference.predict(self.network, self.plan, prepared, self.device).float()


def new_network(plan: Plan) -> nn.Module:
    """The plan's network with fresh weights, from torch's global generator."""
    classes = len(plan.class_values)
    return build_network(
        plan.network, plan.spatial_dims, plan.channels, classes, plan.capacity, strides=plan.strides
    )


def default_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_whole(content: Mapping[str, object], path: Path) -> Path:
    """Saves tensors and plain values so that a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    torch.save(dict(content), part)
    part.replace(path)
    return path


def read_safely(path: Path) -> dict[str, object]:
    """Loads what `write_whole` wrote; tensors and plain values only.

    Raises:
        ValueError: missing or damaged.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not there")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError) as error:
        raise ValueError(f"{path.name} cannot be read; it may be truncated or damaged") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no model")
    return content


def _opened(image: MetaTensor | Path | str) -> MetaTensor:
    return image if isinstance(image, MetaTensor) else read_image(image)
