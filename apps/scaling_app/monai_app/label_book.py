"""A label comes in: read it, refuse or flag it, write it into the ledger.

Two ways lead here: a viewer's `PUT /datastore/label`, checked before MONAI Label stores anything, and
`take_stock`, which finds labels that came or went some other way (files put into the folder, labels
deleted, an index file lost).
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np

from scaling_app.ledger import Case, Flag, utc_now
from scaling_app.monai_app import label_checks as checks
from scaling_app.monai_app.label_grid import in_image_order
from scaling_app.monai_app.session import FINAL, ORIGINAL, Session, file_hash

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class LabelFacts:
    """What a label file says: its grid, voxels per value, the names it carries, a hash of its content."""

    grid: checks.Grid
    counts: Mapping[int, int]
    names: tuple[tuple[str, int], ...]
    label_hash: str


def read_facts(path: Path) -> LabelFacts:
    """Reads a label file.

    Raises:
        ValueError: unreadable, or no label map.
    """
    from scaling_app.imaging.geometry import label_names, read_label

    label = read_label(path)
    array = np.asarray(label[0])
    grid = checks.Grid(tuple(array.shape), np.asarray(label.affine, dtype=np.float64))
    names = tuple((name, value) for value, name in sorted(label_names(path).items()))
    return LabelFacts(grid, checks.count_values(array), names, file_hash(path))


def image_grid(path: Path) -> checks.Grid:
    """The grid of an image file, from its header where that is enough.

    Raises:
        ValueError: unreadable.
    """
    from scaling_app.imaging.geometry import ImageError, read_image, suffix_of
    from scaling_app.imaging.segmentation_nrrd import nrrd_affine

    suffix = suffix_of(path)
    try:
        if suffix in (".nii", ".nii.gz"):
            image = nib.load(path)
            return checks.Grid(tuple(map(int, image.shape[:3])), np.asarray(image.affine, dtype=np.float64))
        if suffix == ".nrrd":
            header = nrrd.read_header(str(path))
            return checks.Grid(_spatial_sizes(header), nrrd_affine(header))
    except (OSError, EOFError, nib.filebasedimages.ImageFileError, nrrd.NRRDError) as error:
        raise ImageError(f"{path.name} cannot be read; it may be truncated or damaged ({error})") from error
    image = read_image(path)
    return checks.Grid(tuple(image.shape[1:]), np.asarray(image.affine, dtype=np.float64))


def _spatial_sizes(header: Mapping[str, object]) -> tuple[int, ...]:
    sizes = [int(n) for n in header["sizes"]]  # type: ignore[attr-defined]
    kinds = list(header.get("kinds", ["domain"] * len(sizes)))  # type: ignore[call-overload]
    spatial = tuple(n for n, kind in zip(sizes, kinds, strict=False) if kind in ("domain", "space"))
    return spatial[-3:]


class LabelBook:
    """Checks labels and keeps the ledger's cases in step with the datastore."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lock = threading.RLock()

    def store(
        self, image_id: str, path: Path, params: Mapping[str, object], annotator: str | None
    ) -> tuple[str, tuple[Flag, ...]]:
        """Takes a label that a viewer submits: checks it, has MONAI Label store it, records it.

        Returns:
            MONAI Label's id of the label, and the doubts about it.

        Raises:
            ValueError: it cannot be used; nothing was stored.
        """
        parse_minutes(params.get("minutes"))
        facts = read_facts(path)
        image = self.session.image_path(image_id)
        grid = facts.grid if image is None else image_grid(image)
        with in_image_order(path, facts.grid, grid) as usable:
            if usable != path:
                path, facts = usable, read_facts(usable)
            return self._store(image_id, path, facts, params, annotator)

    def _store(
        self,
        image_id: str,
        path: Path,
        facts: LabelFacts,
        params: Mapping[str, object],
        annotator: str | None,
    ) -> tuple[str, tuple[Flag, ...]]:
        self.require_usable(image_id, facts, params.get("label_info"))
        with self._lock:
            label_id = self.session.datastore.save_label(image_id, str(path), FINAL, dict(params))
            return label_id, self.record(image_id, facts, params, annotator)

    def require_usable(self, image_id: str, facts: LabelFacts, label_info: object) -> None:
        """Refuses what must not be stored.

        Raises:
            LabelError: another shape than the image's, or a structure that `--conf labels` does not name.
        """
        image = self.session.image_path(image_id)
        if image is not None:
            checks.require_same_shape(facts.grid, image_grid(image))
        if self.session.conf.labels is not None:
            checks.require_known(checks.parse_label_info(label_info), self.session.structures())

    def record(
        self, image_id: str, facts: LabelFacts, params: Mapping[str, object], annotator: str | None = None
    ) -> tuple[Flag, ...]:
        """Writes the case into the ledger and returns the doubts about its label.

        Args:
            params: what the client sent with the label: `label_info`, `client_id`, `minutes`, `blind`.
            annotator: the user's name where users log in; else the client's id is taken.
        """
        now = utc_now()
        client = str(params["client_id"]) if params.get("client_id") else None
        sent = checks.parse_label_info(params.get("label_info")) or list(facts.names)
        with self._lock:
            structures = self.session.grow_structures(sorted(facts.counts), sent)
            volumes = self._note_volumes(image_id, facts, structures)
            flags = self._doubts(image_id, facts, sent, structures, volumes)
            assisted = self._was_assisted(image_id, client, now)
            drawn_blind = self.session.ledger.is_blind(image_id)
            told = params.get("blind")
            blind = told if isinstance(told, bool) else bool(drawn_blind)
            self.session.ledger.save_case(
                Case(
                    image_id=image_id,
                    label_hash=facts.label_hash,
                    saved_at=now,
                    patient=self.session.patient(image_id),
                    annotator=annotator or client,
                    blind=blind and not assisted,
                    assisted=assisted,
                    minutes=parse_minutes(params.get("minutes")),
                    flags=flags,
                    sampling_weight=self.session.ledger.sampling_weight(image_id),
                )
            )
        return flags

    def take_stock(self) -> bool:
        """Brings the ledger's cases in step with the labels that are there; says whether it changed.

        Labels found this way were drawn elsewhere: nobody knows whether a prediction was on screen, and
        they count as unassisted and not blind.
        """
        labels = self.session.label_paths()
        known = {case.image_id: case for case in self.session.ledger.cases()}
        changed = False
        for gone in set(known) - set(labels):
            logger.info("The label of %s is gone", gone)
            changed |= self.session.ledger.remove_case(gone)
        for image_id, path in sorted(labels.items()):
            case = known.get(image_id)
            if case is None or (_newer(path, case.saved_at) and file_hash(path) != case.label_hash):
                changed = True
                self._record_file(image_id, path)
        return changed

    def verify_images(self) -> None:
        """Opens the image of every usable case once; a damaged one raises a doubt that leaves the case out."""
        from scaling_app.imaging.geometry import ImageError, read_image

        ledger = self.session.ledger
        verified = dict(ledger.setting("verified_images", {}))
        before = dict(verified)
        for case in ledger.usable_cases():
            path = self.session.image_path(case.image_id)
            stamp = f"{path.stat().st_mtime_ns}-{path.stat().st_size}" if path else ""
            if path is None or verified.get(case.image_id) == stamp:
                continue
            try:
                read_image(path)
                verified[case.image_id] = stamp
            except ImageError as error:
                logger.warning("%s", error)
                ledger.save_case(
                    replace(case, flags=(Flag(UNREADABLE, f"The image cannot be read: {error}"),))
                )
        if verified != before:
            ledger.set_setting("verified_images", verified)

    def _record_file(self, image_id: str, path: Path) -> None:
        try:
            facts = read_facts(path)
            with self._lock:
                case = self.session.ledger.case(image_id)
                if case is None or case.label_hash != facts.label_hash:
                    self.record(image_id, facts, self.session.datastore.get_label_info(image_id, FINAL))
        except OSError:
            logger.warning("The label of %s went away while it was read", image_id)
        except ValueError as error:
            logger.warning("The label of %s cannot be used: %s", image_id, error)
            flag = Flag(UNREADABLE, f"The label cannot be read: {error}")
            patient = self.session.patient(image_id)
            self.session.ledger.save_case(
                Case(image_id, file_hash(path), utc_now(), patient=patient, flags=(flag,))
            )

    def _doubts(
        self,
        image_id: str,
        facts: LabelFacts,
        sent: list[tuple[str, int]],
        structures: Mapping[str, int],
        volumes: Mapping[str, Mapping[str, float]],
    ) -> tuple[Flag, ...]:
        flags: list[Flag] = []
        image = self.session.image_path(image_id)
        if image is not None:
            grid = image_grid(image)
            if grid.shape == facts.grid.shape:
                flags += checks.check_geometry(facts.grid, grid)
            else:
                flags.append(Flag("geometry", _shape_sentence(facts.grid, grid)))
        flags += checks.check_values(facts.counts, structures)
        flags += checks.check_label_info(sent, facts.counts, structures)
        if not flags:
            others = {
                name: [ml[name] for other, ml in volumes.items() if other != image_id and name in ml]
                for name in structures
            }
            flags += checks.check_volumes(volumes[image_id], others)
        return tuple(flags)

    def _note_volumes(
        self, image_id: str, facts: LabelFacts, structures: Mapping[str, int]
    ) -> dict[str, dict[str, float]]:
        ledger = self.session.ledger
        by_value = {value: name for name, value in structures.items()}
        voxel_ml = facts.grid.voxel_ml
        volumes = dict(ledger.setting("volumes_ml", {}))
        volumes[image_id] = {
            by_value[value]: count * voxel_ml for value, count in facts.counts.items() if value in by_value
        }
        ledger.set_setting("volumes_ml", volumes)
        current = {case.image_id for case in ledger.usable_cases()} | {image_id}
        return {i: ml for i, ml in volumes.items() if i in current}

    def _was_assisted(self, image_id: str, client: str | None, now: datetime) -> bool:
        exposed = self.session.ledger.was_exposed(image_id, client, now)
        return exposed or self.session.has_label(image_id, ORIGINAL)


def parse_minutes(raw: object) -> float | None:
    """Active annotation minutes as a client sent them.

    Raises:
        ValueError: no number of at least 0.
    """
    if raw is None or raw == "":
        return None
    try:
        minutes = float(str(raw))
    except ValueError:
        minutes = math.nan
    if not (math.isfinite(minutes) and minutes >= 0):
        raise ValueError(f"minutes must be a number of at least 0, got {raw!r}")
    return minutes


def _newer(path: Path, saved_at: datetime) -> bool:
    try:
        changed = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    except OSError:
        return False
    return changed > saved_at


def _shape_sentence(label: checks.Grid, image: checks.Grid) -> str:
    try:
        checks.require_same_shape(label, image)
    except checks.LabelError as error:
        return str(error)
    return ""
