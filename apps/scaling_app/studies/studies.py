"""One studies source and its ledger: what the server and its task processes both need to know.

Everything lasting is read from the ledger and the files at each call: the server, the training process
and a scoring process may look at the same studies at once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_app.imaging.untrusted import open_regular
from scaling_app.ledger import Ledger
from scaling_app.storage import sha256_of, write_whole_text
from scaling_app.studies import splits
from scaling_app.studies.conf import Conf
from scaling_app.studies.datastore import Datastore
from scaling_app.studies.leases import Leases
from scaling_app.studies.place import PUBLISHED, STATS
from scaling_app.studies.structures import renamed, with_conf
from scaling_app.trials.length import AUTO_STEPS

if TYPE_CHECKING:
    from scaling_app.trials.model import TrainedModel

logger = logging.getLogger(__name__)

FINAL = "final"
ORIGINAL = "original"
ONE_PATIENT = "one_patient"
"""The ledger's setting: under which patient's name others count, as they share an image."""

_NEVER_SET = object()


@dataclass(frozen=True)
class Published:
    """The model in use: its file, the run that made it, from which cases, and who was held out.

    `patients` maps every image whose label has shaped the model to its patient, as it was then: those it was
    trained on, and those of the models that it took something up from. `pool_patients` does so for the images
    that were looked at without a label: by its own strategy, and by those of the models whose strategy it took
    up. None in files of older versions, which did not write them down.
    """

    run_id: str
    model_file: Path
    strategy: str
    network: str
    patients: Mapping[str, str]
    held_out: tuple[str, ...]
    trained_at: str
    pool_patients: Mapping[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> dict[str, str]:
        """Every image that has shaped the model, with or without its label, and its patient."""
        return {**self.pool_patients, **self.patients}

    def load(self, device: str | None = None) -> TrainedModel | None:
        """The model, on the GPU if there is one unless told; None where its file cannot be used: the next replaces it."""
        from scaling_app.trials.model import TrainedModel

        try:
            return TrainedModel.load(self.model_file, device)
        except ValueError as error:
            logger.warning("The model in use is left aside until the next training: %s", error)
            return None

    @property
    def train_ids(self) -> tuple[str, ...]:
        """The images whose labels have shaped the model."""
        return tuple(self.patients)


class Studies:
    """Ledger, files and cases of one studies source.

    Args:
        conf: the options.
        datastore: MONAI Label's view of the studies.
    """

    def __init__(self, conf: Conf, datastore: Datastore) -> None:
        self.conf = conf
        self.datastore = datastore
        self.ledger = Ledger(conf.ledger)
        self.folder = conf.ledger.resolve().parent
        self.published_file = self.folder / PUBLISHED
        self.stats_file = self.folder / STATS
        self.cache_dir = self.folder / "cache"

    @property
    def training_conf(self) -> Conf:
        """The options with the training steps that were set in the meantime, if any."""
        steps = self.ledger.setting("steps")
        return (
            self.conf if steps is None else replace(self.conf, steps=None if steps == AUTO_STEPS else steps)
        )

    @cached_property
    def leases(self) -> Leases:
        """In whose hands cases are; for the one process that hands them out."""
        return Leases(self.ledger)

    def structures(self) -> dict[str, int]:
        """Structure -> label value, as far as known."""
        return {str(name): int(value) for name, value in self.ledger.setting("structures", {}).items()}

    def adopt_conf_labels(self) -> None:
        """Joins `--conf labels` with what the ledger knows.

        Raises:
            ConfError: they contradict each other.
        """
        before = self.structures()
        self._keep_structures(before, with_conf(before, self.conf.labels))

    def adopt_conf(self) -> None:
        """`--conf target` and `steps` are where a session begins; what was set or taken back since holds."""
        wanted, held = self.conf.target, self.ledger.setting("target", _NEVER_SET)
        if wanted is not None and held is _NEVER_SET:
            self.ledger.set_setting("target", wanted)
        elif wanted is not None and held != wanted:
            logger.warning(
                "--conf target %s is left aside: the session's is %s", wanted, held or "none by now"
            )
        steps, told = self.ledger.setting("steps"), self.conf.steps
        if steps is not None and steps != (told or AUTO_STEPS):
            if told is None:
                logger.info("Trainings take %s steps, as was set in this session", steps)
            else:
                logger.warning("--conf steps %s is left aside: the session's are %s", told, steps)
        self.ledger.set_setting("minutes_per_point", self.conf.minutes_per_point)

    def keep_structures(self, structures: Mapping[str, int]) -> None:
        """Writes another map of structures; with `--conf labels` it stays as it is."""
        if self.conf.labels is None:
            self._keep_structures(self.structures(), structures)

    def _keep_structures(self, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        if after == before:
            return
        # the map comes last: where a kill comes between, the names are found anew, and the scores are renamed again
        for old, new in renamed(before, after).items():
            self.ledger.rename_structure(old, new)
        self.ledger.set_setting("structures", dict(after))

    def patient(self, image_id: str) -> str:
        """The patient of an image; one of two who share an image counts as the other."""
        info = self.datastore.get_image_info(image_id) or {}
        patient = splits.patient_of(image_id, self.conf.patient_pattern, info)
        return self._one_patient().get(patient, patient)

    def unite_patients(self, one: Mapping[str, str]) -> None:
        """From now on these patients count as one, in the cases that are there too."""
        known = {patient: one.get(name, name) for patient, name in self._one_patient().items()}
        self.ledger.set_setting(ONE_PATIENT, known | dict(one))
        self.ledger.rename_patients(one)

    def _one_patient(self) -> dict[str, str]:
        return dict(self.ledger.setting(ONE_PATIENT, {}))

    def role(self, patient: str) -> str:
        """The patient's lasting role, given now if there is none yet."""
        return self.ledger.assign_role(patient, splits.drawn_role(patient, self.conf.seed))

    def image_path(self, image_id: str) -> Path | None:
        """The image's file, or None when the datastore does not have it."""
        uri = self.datastore.get_image_uri(image_id) if self.has_image(image_id) else ""
        return Path(uri) if uri else None

    def image_at_hand(self, image_id: str) -> Path | None:
        """The image's file where it is on this machine, or None."""
        uri = self.datastore.image_at_hand(image_id)
        return Path(uri) if uri else None

    def has_image(self, image_id: str) -> bool:
        """Whether the datastore knows the image."""
        return image_id in self.datastore.list_images()

    @property
    def is_remote(self) -> bool:
        """Whether the studies come from a server, and files here are copies."""
        return str(self.datastore.name()).startswith("http")

    def label_paths(self) -> dict[str, Path]:
        """Image id -> file of its final label, for every labelled image."""
        ids = self.datastore.get_labeled_images()
        return {i: Path(self.datastore.get_label_uri(i, FINAL)) for i in ids}

    def has_label(self, image_id: str, tag: str = FINAL) -> bool:
        """Whether the image has a label with that tag."""
        return tag in self.datastore.get_labels_by_image_id(image_id)

    def save_label(self, image_id: str, path: Path, tag: str, params: Mapping[str, object]) -> str:
        """Has the datastore store a label.

        Returns:
            The datastore's id of the label.

        Raises:
            OSError: it could not be stored; the label before is in place.
        """
        return self.datastore.save_label(image_id, str(path), tag, dict(params))

    def stored_label(self, image_id: str, tag: str = FINAL) -> Path | None:
        """The file of a label, links followed; None if there is none."""
        uri = self.datastore.get_label_uri(image_id, tag)
        return Path(uri) if uri else None

    def published(self) -> Published | None:
        """The model in use, or None before the first."""
        one = self._one_patient()
        try:
            facts = json.loads(self.published_file.read_text())
            facts |= {"model_file": self.folder / facts["model_file"], "held_out": tuple(facts["held_out"])}
            for seen in {"patients", "pool_patients"} & facts.keys():
                facts[seen] = {i: one.get(patient, patient) for i, patient in facts[seen].items()}
            published = Published(**facts)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            logger.warning("%s is damaged; train again", self.published_file)
            return None
        return published if published.model_file.is_file() else None

    def publish(self, model: Published) -> None:
        """Puts a model file into use, in one step: readers see the old model or this one, never a mixture.

        The model before stays beside it for requests that are reading it; older ones are deleted.
        """
        before = self.published()
        facts = {**asdict(model), "model_file": model.model_file.name}
        write_whole_text(self.published_file, json.dumps(facts, indent=1))
        kept = {model.model_file, before.model_file if before else None}
        for old in self.folder.glob("published-*.pt"):
            if old not in kept:
                old.unlink(missing_ok=True)

    def new_model_file(self, run_id: str) -> Path:
        """Where the model of a published run goes."""
        return self.folder / f"{run_id}.pt"


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        ImageError: it is no regular file.
        OSError: it cannot be read.
    """
    with open_regular(path) as content:
        return sha256_of(content)
