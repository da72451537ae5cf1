"""What the routes ask of the app; they know nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from monailabel.interfaces.datastore import Datastore
from monailabel.utils.sessions import Sessions

from scaling_app.log.veil import Veil
from scaling_app.service.forecasting import ForecastKeeper
from scaling_app.service.glance import Training
from scaling_app.studies.labels.foreign_files import ForeignFiles
from scaling_app.studies.studies import Studies


class Served(Protocol):
    """An app that a server serves.

    Attributes:
        open_studies: ledger, files and cases.
        files: reads files from others.
        keeper: the newest forecast.
        serving: held while the next case is chosen and handed out.
        veil: what stands in the log instead of names.
    """

    open_studies: Studies
    files: ForeignFiles
    keeper: ForecastKeeper
    serving: Lock
    veil: Veil

    def datastore(self) -> Datastore:
        """MONAI Label's view of the studies."""

    def sessions(self) -> Sessions | None:
        """The images that were sent for a while; None where none may be."""

    def model_names(self) -> list[str]:
        """The infer tasks, published or not."""

    def scoring_names(self) -> list[str]:
        """The scoring methods."""

    def rule_names(self) -> list[str]:
        """The next-case rules."""

    def trainer_names(self) -> list[str]:
        """The trainers."""

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The next case, by the rule that the request names under `strategy`; empty where there is none."""

    def take_label(
        self, image: str, path: Path, params: dict[str, Any], annotator: str | None
    ) -> dict[str, Any]:
        """A label that a viewer submits; the answer to it."""

    def on_save_label(self, image_id: str, label_id: str) -> Mapping[str, Any]:
        """A label that was stored past `take_label`; what the answer adds."""

    def follow_labels(self) -> None:
        """Brings the ledger in step with labels that came or went."""

    def nothing_to_serve(self, reader: str) -> str | None:
        """Why there is no image for that reader to label, as a sentence; None where every image has a label."""

    def training(self) -> Training | None:
        """What is being trained."""

    def start_update(self) -> object:
        """Starts the curve job."""

    def require_trainable(self, model: str, params: dict[str, Any]) -> None:
        """Refuses a training that could only fail."""
