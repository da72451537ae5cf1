"""The two trainers: `segmentation` publishes a model, `learning_curve` measures what more cases bring.

They run one after the other in MONAI Label's train queue, in a process of their own, at low priority and
with one processor left over, so that the server goes on answering.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from monailabel.interfaces.tasks.train import TrainTask

from scaling_app.monai_app.training_state import stats_of
from scaling_app.studies.train_options import (
    compare_text,
    config_of,
    longer_to_try,
    number_option,
    parse_options,
    strategies_to_compare,
)

if TYPE_CHECKING:
    from monailabel.interfaces.datastore import Datastore

    from scaling_app.studies.studies import Studies

logger = logging.getLogger(__name__)

NICENESS = 19


class SegmentationTrainer(TrainTask):
    """Tests the published model on what it has not seen, then trains and publishes the next one.

    Args:
        studies: with their ledger.
        in_server: whether this runs in the server's own process (`run_sync`), which keeps its priority.
    """

    def __init__(self, studies: Studies, in_server: Callable[[], bool]) -> None:
        super().__init__("Trains the segmentation model on all usable labels and publishes it")
        self.studies = studies
        self._in_server = in_server

    def info(self) -> dict:
        """As the stock Slicer module wants it."""
        return {**super().info(), "labels": self.studies.structures()}

    def config(self) -> dict:
        """What a request may choose."""
        return config_of(self.studies.training_conf)

    def stats(self) -> dict:
        """Progress and accuracy of the present or last training.

        `best_metric` is the mean Dice on patients the model never saw: the held-out ones from 20 labelled
        patients on, before that the newest cross-validation or test-then-train; absent while there is
        neither.
        """
        try:
            told = json.loads(self.studies.stats_file.read_text())
        except (OSError, ValueError):
            return {}
        return stats_of("segmentation", told)

    def __call__(self, request: dict, datastore: Datastore) -> dict:
        """Runs the training; returns its stats."""
        options = parse_options(request, self.studies.training_conf)
        if not self._in_server():
            give_way()
        from scaling_app.studies.train_runs import train_and_publish

        return train_and_publish(self.studies, options)


class CurveTrainer(TrainTask):
    """Cross-validation and nested subsets for the learning curve; never touches the published model."""

    def __init__(self, studies: Studies, in_server: Callable[[], bool]) -> None:
        super().__init__("Measures the learning curve by cross-validation; the model in use stays as it is")
        self.studies = studies
        self._in_server = in_server

    def config(self) -> dict:
        """What a request may choose, the strategies to compare, and the budget."""
        conf = self.studies.training_conf
        return {
            **config_of(conf),
            "compare": compare_text(conf),
            "curve_minutes": conf.curve_minutes,
        }

    def __call__(self, request: dict, datastore: Datastore) -> dict:
        """Works off the runs due within the budget; returns how many were done."""
        options = parse_options(request, self.studies.training_conf)
        compared = strategies_to_compare(request, self.studies.conf)
        longer = longer_to_try(request, self.studies.conf)
        budget = number_option(
            "curve_minutes", request, self.studies.conf.curve_minutes, low=0.05, high=10080
        )
        if not self._in_server():
            give_way()
        from scaling_app.studies.curve_job import run_curve_job

        return run_curve_job(self.studies, options, budget, compared, longer)


def give_way() -> None:
    """Lowers this process's priority and leaves one processor to the server."""
    import torch

    try:
        os.nice(NICENESS)
    except OSError:
        logger.info("The priority could not be lowered")
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, min(torch.get_num_threads(), processors - 1)))
