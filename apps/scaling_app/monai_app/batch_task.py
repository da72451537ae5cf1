"""Batch inference: what MONAI Label's own does, without its ends by a single image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import HTTPException
from monailabel.interfaces.tasks.batch_infer import BatchInferTask

from scaling_app.studies.studies import Studies

if TYPE_CHECKING:
    from monailabel.interfaces.datastore import Datastore

logger = logging.getLogger(__name__)

_UNUSABLE = 422


class BatchInfer(BatchInferTask):
    """Predicts many images, one after the other or in threads."""

    def __init__(self, studies: Studies) -> None:
        self._studies = studies

    def get_images(self, request: dict, datastore: Datastore) -> list[str]:
        """The images asked for, without the blind ones that have no label yet."""
        ledger = self._studies.ledger
        images = super().get_images(request, datastore)
        return [i for i in images if self._studies.has_label(i) or not ledger.is_blind(i)]

    def __call__(self, request: dict, datastore: Datastore, infer: Callable) -> dict:
        """Runs the batch; without a GPU that it could go round, on what there is.

        Returns:
            Per image what `infer` gives; `error`, a sentence, for one that no model can use.
        """
        import torch

        def predicted(asked: dict, store: Datastore) -> dict:
            try:
                return infer(asked, store)
            except HTTPException as error:
                if error.status_code != _UNUSABLE:
                    raise
                logger.warning("Left out: %s", error.detail)
                return {"error": error.detail}

        if request.get("gpus", "all") in ("", "all") and not torch.cuda.device_count():
            request = {**request, "multi_gpu": False}
        return super().__call__(request, datastore, predicted)
