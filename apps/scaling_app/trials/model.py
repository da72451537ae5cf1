"""A trained network with its plan: what a run leaves behind."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from scaling_app.imaging.geometry import Canonical, read_image
from scaling_app.imaging.networks import build_network
from scaling_app.imaging.resampling import resize_image, resize_map, shape_at
from scaling_app.storage import whole_file
from scaling_app.trials import coarse_to_fine, inference
from scaling_app.trials.plan import Plan

logger = logging.getLogger(__name__)

_FORMAT = 1
_ALIKE = ("spatial_dims", "channels", "class_values", "slice_axis")
Report = dict[str, float | int | str | bool]


class Length(TypedDict):
    """How many steps a training took, why it ended (`finished`, `time` or `asked`), and the minutes it needs to finish."""

    steps: int
    ended: str
    minutes: float | None


@dataclass
class TrainedModel:
    """A network on the plan's grid.

    Attributes:
        train_ids: the cases it was trained on.
        report: what happened in training, finite numbers and words.
        strategy_state: what the strategy wants to take up in a later training.
        pool_ids: the unlabelled cases whose images the strategy looked at.
        fine: by the plan's `fine`: it segments in the boxes about what this one finds.
    """

    plan: Plan
    network: nn.Module
    train_ids: tuple[str, ...]
    report: Report
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    strategy_state: Mapping[str, Any] = field(default_factory=dict)
    pool_ids: tuple[str, ...] = ()
    fine: TrainedModel | None = None

    def save(self, path: Path | str) -> Path:
        """Writes weights, plan and report, whole or not at all."""
        return write_whole(self.content(), Path(path))

    def without_cases(self) -> TrainedModel:
        """It predicts the same, and names no case nor keeps what a strategy took from their images: for other places."""
        fine = self.fine and self.fine.without_cases()
        return replace(self, train_ids=(), pool_ids=(), strategy_state={}, fine=fine)

    def content(self) -> dict[str, Any]:
        """Tensors and plain values, which `of_content` takes."""
        return {
            "format": _FORMAT,
            "plan": self.plan.to_json(),
            "weights": {
                name: weight.detach().cpu().contiguous() for name, weight in self.network.state_dict().items()
            },
            "train_ids": list(self.train_ids),
            "pool_ids": list(self.pool_ids),
            "report": json.dumps(self.report),
            "strategy": dict(self.strategy_state),
            "fine": self.fine and self.fine.content(),
        }

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str | None = None) -> TrainedModel:
        """Reads a model that `save` wrote; nothing in the file is executed.

        Raises:
            ValueError: missing, damaged or of another version.
        """
        content = read_safely(Path(path))
        if content.get("format") != _FORMAT:
            raise ValueError(f"{Path(path).name} is not a model of this version; train again")
        try:
            return cls.of_content(content, device)
        except torch.OutOfMemoryError:
            raise
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(
                f"{Path(path).name} does not fit the network that this version builds: it is damaged, or of an earlier version; "
                "train again"
            ) from error

    @classmethod
    def of_content(cls, content: Mapping[str, Any], device: torch.device | str | None = None) -> TrainedModel:
        """The model that gave this `content`.

        Raises:
            ValueError: its plan is of another version.
        """
        plan = Plan.from_json(content["plan"])
        device = torch.device(device) if device is not None else default_device()
        network = new_network(plan)
        network.load_state_dict(content["weights"])
        ids, report = tuple(content["train_ids"]), json.loads(content["report"])
        pool_ids = tuple(content.get("pool_ids", ()))
        fine = cls.of_content(content["fine"], device) if content.get("fine") else None
        return cls(plan, network.to(device).eval(), ids, report, device, content["strategy"], pool_ids, fine)

    def segment(self, image: MetaTensor | Path | str) -> MetaTensor:
        """Label values `(1, *S)` on the image's own grid, of any spacing and orientation."""
        image = _opened(image)
        return inference.labelled(self.maps(image), self.plan, image)

    def probabilities(self, image: MetaTensor | Path | str) -> MetaTensor:
        """Class probabilities `(K, *S)` float16 on the image's own grid, classes as `plan.class_values`."""
        image = _opened(image)
        turn = Canonical.of(image)
        found = torch.stack([probability.half() for _, probability in self.maps(image)])
        return MetaTensor(turn.undo(found).contiguous(), affine=image.affine)

    def maps(self, image: MetaTensor) -> Iterator[tuple[int, Tensor]]:
        """Class index and probability `(*S)` in turn, on the image's voxels in canonical order."""
        if self.fine is None:
            return inference.probability_maps(self.network, self.plan, image, self.device)
        fine = self.fine.network, self.fine.plan
        return coarse_to_fine.probability_maps((self.network, self.plan), fine, image, self.device)

    def predict(self, prepared: Tensor) -> Tensor:
        """Class probabilities `(K, *S)` of an image on the plan's grid, by the coarse look alone if there are two."""
        return inference.predict(self.network, self.plan, prepared, self.device).float()

    def predictor_for(self, plan: Plan) -> Callable[[Tensor], Tensor] | None:
        """Class probabilities `(K, *S)` of an image, or of a slice in a 2D plan of volumes, on another plan's grid.

        Those of the coarse look if there are two. None where this model knows other structures, or images prepared in another way.
        """
        own = self.plan
        if any(getattr(own, what) != getattr(plan, what) for what in _ALIKE) or (
            (own.intensity.kind, own.intensity.nonzero) != (plan.intensity.kind, plan.intensity.nonzero)
        ):
            return None
        flat = replace(own, slice_axis=None)

        def predict(prepared: Tensor) -> Tensor:
            shape = prepared.shape[1:]
            if plan.intensity != own.intensity:
                prepared = own.intensity.apply(plan.intensity.undo(prepared))
            resized = resize_image(prepared, shape_at(shape, plan.spacing, own.spacing))
            found = inference.predict(self.network, flat, resized, self.device)
            return torch.stack([resize_map(probability, shape) for probability in found])

        return predict


def new_network(plan: Plan) -> nn.Module:
    """The plan's network with fresh weights, from torch's global generator."""
    classes = len(plan.class_values)
    return build_network(
        plan.network, plan.spatial_dims, plan.channels, classes, plan.capacity, strides=plan.strides
    )


def take_weights(network: nn.Module, other: nn.Module) -> None:
    """Gives a network the weights of another, unless that one is built otherwise."""
    weights = other.state_dict()
    own = network.state_dict()
    if {name: weight.shape for name, weight in weights.items()} != {
        name: weight.shape for name, weight in own.items()
    }:
        logger.warning("not starting from the former model: its network is another one")
        return
    network.load_state_dict(weights)


def predictor_from(path: Path, plan: Plan, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """`predictor_for` of a model's file; None also where the file cannot be read: a training can do without."""
    try:
        return TrainedModel.load(path, device).predictor_for(plan)
    except ValueError as error:
        logger.warning("unlabelled images are placed without predictions: %s", error)
        return None


def length_of(report: Report) -> Length:
    """What a training's report says of its length."""
    ended = str(report["ended"])
    minutes = float(report["needed_seconds"]) / 60 if ended == "finished" else None
    return {"steps": int(report["steps"]), "ended": ended, "minutes": minutes}


def default_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_whole(content: Mapping[str, object], path: Path) -> Path:
    """Saves tensors and plain values so that a kill leaves the old file or the new one."""
    with whole_file(path) as part:
        torch.save(dict(content), part)
    return path


def read_safely(path: Path) -> dict[str, Any]:
    """Loads what `write_whole` wrote; tensors and plain values only.

    Raises:
        ValueError: missing or damaged.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not there")
    try:
        # torch writes a sum of each tensor, and never looks at it
        with zipfile.ZipFile(path) as parts:
            if (damaged := parts.testzip()) is not None:
                raise ValueError(f"{damaged} is not what was written")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged pickle raises is not bounded
        raise ValueError(f"{path.name} cannot be read; it may be truncated or damaged") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no model")
    return content


def _opened(image: MetaTensor | Path | str) -> MetaTensor:
    return image if isinstance(image, MetaTensor) else read_image(image)
