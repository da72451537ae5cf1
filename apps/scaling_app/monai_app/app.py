"""The MONAI Label app: wires studies, tasks, routes and forecast together.

The server process answers requests; trainings run in processes of their own, in which MONAI Label makes
the same object again. They meet in the ledger.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.utils.async_tasks.utils import processes

from scaling_app import __version__
from scaling_app.backups import holding
from scaling_app.backups.restoring import finish_restore
from scaling_app.ledger import utc_now
from scaling_app.monai_app.batch_task import BatchInfer
from scaling_app.monai_app.dicom.pacs import Pacs
from scaling_app.monai_app.dicom.studies import DicomStudies
from scaling_app.monai_app.failed_starts import tell_of_failed_starts
from scaling_app.monai_app.infer_task import Segmentation
from scaling_app.monai_app.lent_images import LentImages
from scaling_app.monai_app.next_case import NextCase
from scaling_app.monai_app.scoring import SufficiencyScoring
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.monai_app.train_tasks import CurveTrainer, SegmentationTrainer
from scaling_app.monai_app.training_state import curve_task, training_of
from scaling_app.service.answers import LabelSummary, in_info
from scaling_app.service.forecasting import ForecastKeeper, LiveFacts
from scaling_app.storage import require_writable
from scaling_app.studies import discretion
from scaling_app.studies.conf import read_conf
from scaling_app.studies.interrupted import SurvivorError, close_interrupted_runs, require_no_survivor
from scaling_app.studies.labels.agreement import AgreementBook
from scaling_app.studies.labels.foreign_files import ForeignFiles
from scaling_app.studies.labels.intake import LabelIntake
from scaling_app.studies.labels.label_infos import infos_of_labels
from scaling_app.studies.labels.raw_voxels import as_label_map
from scaling_app.studies.next_case import BLIND_SENTENCE, RULES
from scaling_app.studies.place import copies_folder, is_url, require_writable_studies
from scaling_app.studies.shape_coverage import coverage_facts
from scaling_app.studies.studies import FINAL, Studies
from scaling_app.studies.train_options import number_option, parse_options, strategies_to_compare
from scaling_app.web import scratch
from scaling_app.web.starting import end_a_starting_server, is_starting
from scaling_app.web.storage_answers import answer_storage_errors
from scaling_app.web.undisturbed import answer_promptly

if TYPE_CHECKING:
    from monailabel.interfaces.datastore import Datastore

    from scaling_app.service.glance import Training

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 5.0
"""How often the server looks for labels that came or went without it."""

LENT_UPLOADS = 4
"""Uploads of the largest size that may be lent at once."""


class ScalingApp(MONAILabelApp):
    """What the next labelled case is worth.

    Args:
        app_dir: the app folder; models and the ledger go into its `model`.
        studies: folder or address of the images.
        conf: the `--conf` options as text.

    Raises:
        ValueError: an option or the ledger cannot be used. While a server starts, its process ends
            instead, with exit status 2 and that one line.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str] | None) -> None:
        raw = conf or {}
        try:
            self.options = read_conf(raw, app_dir=Path(app_dir), studies=studies)
            self.veil = discretion.begin(
                self.options, Path(app_dir), studies, settings.model_dump(), server=is_starting()
            )
            finish_restore(self.options.ledger, self._copies() if is_url(studies) else Path(studies))
            super().__init__(
                app_dir=app_dir,
                studies=studies,
                conf=raw,
                name="Scaling App",
                description="Forecasts what the next labelled case is worth",
                version=__version__,
            )
        except (ValueError, OSError) as error:
            end_a_starting_server(error)
            raise
        tell_of_failed_starts()
        self.serving = threading.Lock()

    def init_datastore(self) -> Datastore:
        """The datastore, and with it the studies and their ledger."""
        store = self._dicom_studies() if is_url(self.studies) else self._studies_folder()
        self.open_studies = Studies(self.options, store)
        self.scratch = scratch.claim(self.open_studies.folder)
        self.open_studies.adopt_conf_labels()
        if not store.list_images():  # on a DICOM server that was never asked
            store.refresh()
        self.files = ForeignFiles(self.options.upload_bytes)
        self.intake = LabelIntake(self.open_studies, self.files)
        self.agreements = AgreementBook(self.open_studies, self.files)
        if isinstance(store, StudiesFolder):
            self._restore_label_infos(store)
        self._shown: dict = {}
        self.keeper = ForecastKeeper(self.open_studies.ledger, self._live_facts)
        return store

    def _copies(self) -> Path:
        return copies_folder(self.options.ledger, settings.MONAI_LABEL_DICOMWEB_CACHE_PATH)

    def _dicom_studies(self) -> DicomStudies:
        self.studies = self.studies.strip().rstrip("/")
        return DicomStudies(
            Pacs(self.studies),
            self._copies(),
            structures=lambda: self.open_studies.structures(),
            kept_labels=self.options.label_history,
        )

    def _studies_folder(self) -> StudiesFolder:
        require_writable_studies(Path(self.studies))
        patterns = settings.MONAI_LABEL_DATASTORE_FILE_EXT
        usual = type(settings).model_fields["MONAI_LABEL_DATASTORE_FILE_EXT"].default
        return StudiesFolder(
            self.studies,
            patterns=() if patterns == usual else patterns,
            kept_labels=self.options.label_history,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def _restore_label_infos(self, store: StudiesFolder) -> None:
        if store.was_rebuilt and (infos := infos_of_labels(self.open_studies)):
            store.update_label_infos(FINAL, infos)
            logger.info(
                "The index of the studies was made anew; %d labels are known from the ledger", len(infos)
            )

    def _load_sessions(self, load: bool = False) -> LentImages | None:
        path = settings.MONAI_LABEL_SESSION_PATH.strip() or str(self.options.ledger.parent / "lent")
        most = LENT_UPLOADS * self.options.upload_bytes
        return LentImages(path, settings.MONAI_LABEL_SESSION_EXPIRY, most) if load else None

    def init_infers(self) -> dict:
        """One infer task, listed once a model has been published."""
        return {"segmentation": Segmentation(self.open_studies)}

    def init_trainers(self) -> dict:
        """The stock Slicer module shows progress and accuracy of the first."""
        return {
            "segmentation": SegmentationTrainer(self.open_studies, self.in_server),
            "learning_curve": CurveTrainer(self.open_studies, self.in_server),
        }

    def init_strategies(self) -> dict:
        """Which case to label next; the first is the default."""
        return {name: NextCase(rule(self.open_studies)) for name, rule in RULES.items()}

    def init_scoring_methods(self) -> dict:
        """The forecast for clients that know only MONAI Label."""
        return {"sufficiency": SufficiencyScoring(lambda: self._shown, self.payload)}

    def init_batch_infer(self) -> BatchInferTask:
        """Batch inference, which leaves blind cases out, and images that no model can use."""
        return BatchInfer(self.open_studies)

    def training(self) -> Training | None:
        """What is being trained."""
        stats = self._trainers["segmentation"].stats()
        return training_of("segmentation", stats, self.open_studies.ledger)

    def in_server(self) -> bool:
        """Whether this process is the server (and not one of its tasks)."""
        return self._server_mode

    def rule_names(self) -> list[str]:
        """The next-case rules."""
        return list(self._strategies)

    def model_names(self) -> list[str]:
        """The infer tasks, published or not."""
        return list(self._infers)

    def scoring_names(self) -> list[str]:
        """The scoring methods."""
        return list(self._scoring_methods)

    def trainer_names(self) -> list[str]:
        """The trainers."""
        return list(self._trainers)

    def on_init_complete(self) -> None:
        """Starts what only the server does: routes, forecasts, a look at the labels now and then."""
        from monailabel.app import app as server

        from scaling_app.monai_app import door, watching
        from scaling_app.monai_app.routes.every import add_all, include_first
        from scaling_app.web import bodies, connections, server_access

        try:
            self._held = holding.serving(self.open_studies.folder)
        except ValueError as error:
            end_a_starting_server(error)
            raise
        discretion.learn_names(self.veil, self.open_studies)
        self.files.apart()
        super().on_init_complete()
        close_interrupted_runs(
            self.open_studies.ledger, "interrupted: the server was stopped", elsewhere=True
        )
        self.open_studies.adopt_conf()
        server_access.keep_other_sites_out(server, self.options.hosts, login=settings.MONAI_LABEL_AUTH_ENABLE)
        connections.bound_connections()
        bodies.bound_bodies(server, self.options.upload_bytes)
        answer_storage_errors(server)
        metrics = watching.metrics_of(self.open_studies, self.studies)
        include_first(server, watching.make_router(metrics))
        add_all(server, self)
        door.stand_before(server)
        watching.time_requests(server, metrics)
        scratch.leave_at_the_end(self.scratch)
        answer_promptly()
        self._begin_looking()

    def info(self) -> dict:
        """MONAI Label's description of the app, with the structures and the forecast's summary."""
        self._shown = self.summary()
        labels = list(self.open_studies.structures())
        return {**super().info(), "labels": labels, "sufficiency": in_info(self._shown)}

    def infer(self, request: dict, datastore: Datastore | None = None) -> dict:
        """Runs a prediction and notes who may have seen it.

        Raises:
            HTTPException: 409 when the case is blind and not labelled yet, unless the request says
                `reveal`; then the case counts as assisted.
        """
        image = request.get("image")
        is_case = isinstance(image, str) and self.open_studies.has_image(image)
        if is_case and not request.get("reveal") and self._is_blind_and_open(image):
            raise HTTPException(409, f"{BLIND_SENTENCE} To see one all the same, tick the option `reveal`.")
        result = super().infer(request, datastore)
        if is_case:
            client = request.get("client_id")
            self.open_studies.ledger.note_exposure(image, str(client) if client else None, utc_now())
        return result

    def _is_blind_and_open(self, image: str) -> bool:
        return bool(self.open_studies.ledger.is_blind(image)) and not self.open_studies.has_label(image)

    def async_scoring(self, method: str | None, params: dict | None = None) -> dict:
        """MONAI Label asks for all scorings after each step; the forecast follows the ledger anyway."""
        return super().async_scoring(method, params) if method else {}

    def on_save_label(self, image_id: str, label_id: str) -> dict:
        """A label that came past `take_label`: it is found and checked as one put into the folder."""
        self.follow_labels()
        return {"sufficiency": self._summary_at_hand()}

    def take_label(self, image: str, path: Path, params: dict, annotator: str | None) -> dict:
        """A label that a viewer submits.

        Returns:
            MONAI Label's answer and, under `sufficiency`, the doubts about the label and the newest summary.

        Raises:
            ValueError: it cannot be used; nothing was stored.
            OSError: it cannot be stored; the label before is in place.
        """
        with as_label_map(path, self.datastore().get_image_uri(image)) as usable:
            label_id, found = self.intake.store(image, usable, params, annotator)
        doubts = [{"kind": doubt.kind, "sentence": doubt.sentence} for doubt in found]
        return {
            "image": image,
            "label": label_id,
            "sufficiency": LabelSummary.model_validate({**self._summary_at_hand(), "doubts": doubts}).sent(),
        }

    def require_trainable(self, model: str, params: dict) -> None:
        """Refuses a training that could only fail.

        Raises:
            ValueError: unusable options, or no usable label.
            HTTPException: 429 while a training lives on that an earlier server began.
            OSError: there is no room for what it would write.
        """
        try:
            own = {process.pid for process in list(processes("train").values())}
            require_no_survivor(self.open_studies.ledger, own)
        except SurvivorError as error:
            raise HTTPException(429, str(error)) from error
        require_writable(self.open_studies.folder)
        parse_options(params, self.options)
        strategies_to_compare(params, self.options)
        number_option("curve_minutes", params, self.options.curve_minutes, low=0.05, high=10080)
        self.take_stock()
        if not self.open_studies.ledger.usable_cases():
            raise ValueError("There is no usable label to train on: label a case, or confirm those in doubt.")

    def take_stock(self) -> None:
        """Brings the ledger in step with the labels that are there."""
        self.intake.take_stock()

    def follow_labels(self) -> None:
        """`take_stock` after a change that has been made, and that no error may deny any more."""
        try:
            self.take_stock()
        except Exception:
            logger.exception("The labels could not be looked through; the next look follows")

    def nothing_to_serve(self, reader: str) -> str | None:
        """Why there is no image for that reader to label, as a sentence; None where every image has a label."""
        store = self.datastore()
        taken = self.open_studies.leases.others(reader) & set(store.get_unlabeled_images())
        if taken:
            of = (
                f"{len(taken)} cases without a label are"
                if len(taken) > 1
                else "The last case without a label is"
            )
            return f"{of} in other annotators' hands; ask again later."
        return store.nothing_to_serve() if isinstance(store, StudiesFolder) else None

    def _begin_looking(self) -> None:
        threading.Thread(target=self._watch, name="labels", daemon=True).start()
        # it may take minutes, and what others save or delete is seen within seconds
        threading.Thread(target=self._compare_readers, name="readers", daemon=True).start()

    def _watch(self) -> None:
        """Looks for labels that came or went past the server, and for trainings that died."""
        while True:
            try:
                if is_url(self.studies):
                    self.datastore().refresh()
                discretion.learn_names(self.veil, self.open_studies)
                scratch.sweep(self.scratch)
                self.take_stock()
                close_interrupted_runs(self.open_studies.ledger, "interrupted: the process ended")
            except Exception:
                logger.exception("The labels could not be looked through")
            time.sleep(LOOK_EVERY_SECONDS)

    def _compare_readers(self) -> None:
        while True:
            try:
                self.agreements.measure()
            except Exception:
                logger.exception("The readers could not be compared")
            time.sleep(LOOK_EVERY_SECONDS)

    def summary(self) -> dict:
        """The short form of the forecast."""
        return self.keeper.summary()

    def _summary_at_hand(self) -> dict:
        """The summary, or the one before where the ledger cannot be read."""
        try:
            self._shown = self.summary()
        except Exception:  # a label has been stored by then
            logger.exception("The summary could not be renewed")
        return self._shown

    def payload(self) -> dict:
        """The whole forecast; a scoring task waits for the newest, the server never waits."""
        return self.keeper.payload(fresh=not self.in_server())

    def start_update(self) -> object:
        """Starts the `learning_curve` trainer, as `POST /train/learning_curve` does."""
        from scaling_app.monai_app.routes.trainings import start_training

        return start_training(self, "learning_curve", None)

    def _live_facts(self) -> LiveFacts:
        unlabelled = set(self._datastore.get_unlabeled_images())
        store = self._datastore
        problems = store.problems if isinstance(store, StudiesFolder) else ()
        found = [{"image": problem.image, "sentence": problem.sentence} for problem in problems]
        coverage = coverage_facts(self.open_studies.ledger, unlabelled)
        return LiveFacts(len(unlabelled), coverage, found, curve_task("learning_curve"))
