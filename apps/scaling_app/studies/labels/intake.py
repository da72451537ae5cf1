"""A label comes in: read it, refuse or doubt it, write it into the ledger.

Two ways lead here: a viewer's `PUT /datastore/label`, checked before MONAI Label stores anything, and
`take_stock`, which finds labels that came, changed or went some other way (files put into the folder, labels
deleted, an index file lost).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scaling_app.ledger import (
    Case,
    Doubt,
    LabelNote,
    LabelVersion,
    LedgerError,
    Stamp,
    reader_of,
    utc_now,
)
from scaling_app.studies.labels import checks, readers
from scaling_app.studies.labels.contents import LabelContent, image_grid, stamp_of
from scaling_app.studies.labels.foreign_files import ForeignFiles
from scaling_app.studies.labels.images import ImageBook, unreadable_image
from scaling_app.studies.labels.notes import RECORDED_LATER, is_no_label_map, note_of, volumes_ml
from scaling_app.studies.labels.sent import client_of, names_of, parse_minutes
from scaling_app.studies.labels.voxel_order import in_image_order
from scaling_app.studies.structures import still_held, with_label
from scaling_app.studies.studies import FINAL, ORIGINAL, Studies, file_hash

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable"

Names = Sequence[tuple[str, int]]


class LabelIntake:
    """Checks labels and keeps the ledger's cases in step with the datastore.

    Args:
        files: what reads labels and images; by default this process does.
    """

    def __init__(self, studies: Studies, files: ForeignFiles | None = None) -> None:
        self.studies = studies
        self.files = files or ForeignFiles()
        self._lock = threading.RLock()

    def store(
        self, image_id: str, path: Path, params: Mapping[str, object], annotator: str | None
    ) -> tuple[str, tuple[Doubt, ...]]:
        """Takes a label that a viewer submits: checks it, has it stored, records it.

        It counts as taken once its file is in place. Where the ledger cannot be written then, the next look does that.

        Returns:
            The datastore's id of the label, and the doubts about it.

        Raises:
            ValueError: it cannot be used; nothing was stored.
            OSError: it cannot be stored; the label before is in place.
        """
        parse_minutes(params.get("minutes"))
        image = self.studies.image_path(image_id)
        grid = None if image is None else image_grid(image)
        facts = self.files.label_facts(path, shape=None if grid is None else grid.shape, sent=True)
        named = {value: name for name, value in facts.names}
        with in_image_order(path, facts.grid, grid or facts.grid, named) as usable:
            if usable != path:
                path, facts = usable, self.files.label_facts(usable)
            stored = None
            try:
                with self.studies.ledger.kept_at_end():  # the next label need not wait for that
                    stored = self._store(image_id, path, facts, params, annotator)
            except LedgerError:
                if stored is None:
                    raise
                logger.exception("The label of %s is stored; the ledger may not be", image_id)
                return stored[0], (RECORDED_LATER,)
            return stored

    def _store(
        self,
        image_id: str,
        path: Path,
        facts: LabelContent,
        params: Mapping[str, object],
        annotator: str | None,
    ) -> tuple[str, tuple[Doubt, ...]]:
        self.require_usable(image_id, facts, params.get("label_info"))
        reader = reader_of(annotator or client_of(params))
        with self._lock:
            if readers.lies_beside(self.studies, image_id, reader):
                doubts = self._doubts(image_id, facts, names_of(params, facts))
                assisted = self._was_assisted(image_id, client_of(params), annotator)
                label_id = readers.store_beside(
                    self.studies, image_id, path, facts.label_hash, params, reader, doubts, assisted=assisted
                )
                return label_id, doubts
            readers.keep_replaced(self.studies, image_id, reader)
            # the annotator goes along, for a look at the folder that may have to write the ledger instead
            sent = {**params, "annotator": annotator} if annotator else params
            label_id = self.studies.save_label(image_id, path, FINAL, sent)
            try:
                stored = self.studies.stored_label(image_id)
                stamp = None if stored is None else stamp_of(stored)
                if stored is not None and self.studies.is_remote:
                    # what is kept here is a copy of what was sent on
                    facts = replace(facts, label_hash=file_hash(stored))
                before = self.studies.ledger.label_notes(image_id).get(image_id)
                doubts = self.record(image_id, facts, params, annotator, stamp, drawn_here=True)
                # any other label adds to the structures, which `record` has done
                if doubts or (before is not None and _takes_away(before, facts, names_of(params, facts))):
                    self._renew_structures()
            except Exception:  # whatever it was: who sent it must not hear that nothing was stored
                logger.exception("The label of %s is stored; the ledger could not be written", image_id)
                return label_id, (RECORDED_LATER,)
            return label_id, doubts

    def require_usable(self, image_id: str, facts: LabelContent, label_info: object) -> None:
        """Refuses what must not be stored.

        Raises:
            LabelError: another shape than the image's, a name without end, or a structure that `--conf labels` does not
                name.
        """
        checks.require_short(checks.parse_label_info(label_info))
        image = self.studies.image_path(image_id)
        if image is not None:
            checks.require_same_shape(facts.grid, image_grid(image))
        if self.studies.conf.labels is not None:
            checks.require_known(checks.parse_label_info(label_info), self.studies.structures())

    def record(
        self,
        image_id: str,
        facts: LabelContent,
        params: Mapping[str, object],
        annotator: str | None = None,
        stamp: Stamp | None = None,
        returned: LabelVersion | None = None,
        drawn_here: bool = False,
    ) -> tuple[Doubt, ...]:
        """Writes the case into the ledger and returns the doubts about its label.

        Args:
            params: what the client sent with the label: `label_info`, `client_id`, `minutes`, `blind`.
            annotator: the user's name where users log in; else the client's id is taken.
            stamp: the file's when it was read; without it the next look reads it again.
            returned: what is known of this very label from before it went away.
            drawn_here: whether a viewer sent it, so that it is known what was on its screen; the lease ends with it.
        """
        now = utc_now()
        client = client_of(params)
        sent = names_of(params, facts)
        ledger = self.studies.ledger
        with self._lock:
            doubts = self._doubts(image_id, facts, sent)
            assisted = returned.assisted if returned else self._was_assisted(image_id, client, annotator)
            drawn_blind = ledger.is_blind(image_id)
            told = params.get("blind")
            blind = told if isinstance(told, bool) else bool(drawn_blind)
            by = returned.annotator if returned else annotator or client
            alone = drawn_here and readers.is_independent(
                self.studies, image_id, reader_of(by), assisted=assisted
            )
            case = Case(
                image_id=image_id,
                label_hash=facts.label_hash,
                saved_at=returned.saved_at if returned else now,
                patient=self.studies.patient(image_id),
                annotator=by,
                blind=blind and not assisted,
                assisted=assisted,
                minutes=parse_minutes(params.get("minutes")),
                doubts=doubts,
                sampling_weight=ledger.sampling_weight(image_id),
            )
            note = note_of(facts, sent, doubts, stamp)
            with ledger.at_once():
                ledger.save_case(case, independent=alone)
                ledger.keep_label_notes({image_id: note})
                if not doubts:
                    known = self.studies.structures()
                    self.studies.keep_structures(with_label(known, sorted(facts.counts), sent))
                if drawn_here:
                    self.studies.leases.end(image_id, reader_of(by))
        return doubts

    def take_stock(self) -> bool:
        """Brings the ledger's cases in step with the labels that are there; says whether it changed.

        Labels found this way were drawn elsewhere: nobody knows whether a prediction was on screen, and
        they count as unassisted and not blind.
        """
        # the cases come first: a label saved meanwhile is then looked at, and not taken for one that went
        known = {case.image_id: case for case in self.studies.ledger.cases()}
        labels = self.studies.label_paths()
        notes = self.studies.ledger.label_notes()
        changed = False
        if known and not self.studies.datastore.list_images():
            logger.warning("There is not one image: the studies seem not to be there; all labels are kept")
            return False
        for gone in set(known) - set(labels):
            changed |= self._remove(gone, notes.get(gone))
        noted: dict[str, LabelNote] = {}  # written at once, as every writing writes the notes of all labels
        for image_id, path in sorted(labels.items()):
            case, note, stamp = known.get(image_id), notes.get(image_id), stamp_of(path)
            if stamp is None:
                continue
            if (
                case is not None
                and note is not None
                and note.label_hash == case.label_hash
                and note.stamp == stamp
            ):
                if self._is_outdated(case, note):
                    changed |= self._judge_again(case, path)
            elif case is not None and note is not None and note.label_hash == case.label_hash == _hash(path):
                noted[image_id] = replace(note, stamp=stamp)
            else:
                changed |= self._look_at(image_id, path, stamp, noted)
        with self._lock:
            self.studies.ledger.keep_label_notes(noted)
            self._renew_structures()
        return changed

    def verify_images(self) -> None:
        """Opens the image of every case once; one that no training could use raises a doubt that leaves the case out."""
        ImageBook(self.studies, self._stored_grid_doubts).verify()

    def _remove(self, image_id: str, note: LabelNote | None) -> bool:
        with self._lock:
            if self.studies.has_label(image_id) or self._is_newer_than_the_index(image_id, note):
                return False
            logger.info("The label of %s is gone", image_id)
            removed = self.studies.ledger.remove_case(image_id)
            self.studies.ledger.forget_label_notes([image_id])
            return removed

    def _is_newer_than_the_index(self, image_id: str, note: LabelNote | None) -> bool:
        """Whether the label's file is there all the same: another process saved it after this one's start."""
        if note is None or note.stamp is None:
            return False
        return self.studies.has_image(image_id) and Path(note.stamp[0]).is_file()

    def _look_at(self, image_id: str, path: Path, stamp: Stamp, noted: dict[str, LabelNote]) -> bool:
        """Reads a label that is new or may have changed; says whether the ledger changed.

        The note of one that had none, but is the ledger's, goes into `noted`.
        """
        ledger = self.studies.ledger
        try:
            facts = self.files.label_facts(path)
            info = self.studies.datastore.get_label_info(image_id, FINAL)
            with self._lock:
                case = ledger.case(image_id)
                if case is None or case.label_hash != facts.label_hash:
                    versions = ledger.label_history(image_id) if case is None else []
                    before = (v for v in reversed(versions) if v.label_hash == facts.label_hash)
                    by = info.get("annotator")
                    self.record(
                        image_id, facts, info, str(by) if by else None, stamp, returned=next(before, None)
                    )
                    return True
                # known, but without a note: what a training could not use is doubted, the rest was judged
                doubts = tuple(
                    doubt for doubt in self._grid_doubts(image_id, facts) if doubt not in case.doubts
                )
                if doubts:
                    ledger.set_doubts(image_id, facts.label_hash, (*case.doubts, *doubts))
                noted[image_id] = note_of(facts, names_of(info, facts), case.doubts, stamp)
                return bool(doubts)
        except OSError:
            logger.warning("The label of %s went away while it was read", image_id)
            return False
        except ValueError as error:
            logger.warning("The label of %s cannot be used: %s", image_id, error)
            return self._record_unusable(image_id, path, stamp, error)

    def _record_unusable(self, image_id: str, path: Path, stamp: Stamp, error: ValueError) -> bool:
        label_hash = _hash(path)
        if label_hash is None:
            return False
        doubt = Doubt(UNREADABLE, f"The label cannot be used; save it again: {error}")
        patient = self.studies.patient(image_id)
        with self._lock:
            self.studies.ledger.save_case(Case(image_id, label_hash, utc_now(), patient, doubts=(doubt,)))
            self.studies.ledger.keep_label_notes({image_id: LabelNote({}, (), stamp, label_hash)})
        return True

    def _is_outdated(self, case: Case, note: LabelNote) -> bool:
        """Whether its values were doubted, and the structures have come to be known since."""
        kinds = {doubt.kind for doubt in case.doubts}
        if self.studies.conf.labels is not None:
            return not kinds.isdisjoint(("new_structure", "not_a_label_map"))
        return "new_structure" in kinds and set(note.volumes_ml) <= set(self.studies.structures().values())

    def _judge_again(self, case: Case, path: Path) -> bool:
        try:
            facts = self.files.label_facts(path)
        except (OSError, ValueError) as error:
            logger.warning("The label of %s changed while it was read: %s", case.image_id, error)
            return False
        sent = names_of(self.studies.datastore.get_label_info(case.image_id, FINAL), facts)
        with self._lock:
            doubts = self._doubts(case.image_id, facts, sent)
            if not self.studies.ledger.set_doubts(case.image_id, facts.label_hash, doubts):
                return False
            self.studies.ledger.keep_label_notes(
                {case.image_id: note_of(facts, sent, doubts, stamp_of(path))}
            )
        return True

    def _doubts(self, image_id: str, facts: LabelContent, sent: Names) -> tuple[Doubt, ...]:
        """What is doubtful about a label, beside the structures and the usable labels of other images."""
        known = self.studies.structures()
        doubts = self._grid_doubts(image_id, facts)
        structures = known
        if self.studies.conf.labels is None:
            structures = with_label(known, sorted(facts.counts), sent)
            called = {value: name for name, value in sent}
            others = self.studies.ledger.count_usable(but=image_id)
            doubts += checks.check_new_values(facts.counts, known, others, called)
        if is_no_label_map(doubts):
            return tuple(doubts)
        doubts += checks.check_values(facts.counts, structures)
        doubts += checks.check_label_info(sent, facts.counts, structures)
        if not doubts:
            mine, others_ml = volumes_ml(facts), self.studies.ledger.usable_volumes(but=image_id)
            doubts += checks.check_volumes(
                {name: mine[value] for name, value in structures.items() if value in mine},
                {name: others_ml.get(value, []) for name, value in structures.items()},
            )
        return tuple(doubts)

    def _grid_doubts(self, image_id: str, facts: LabelContent) -> list[Doubt]:
        image = self.studies.image_path(image_id)
        if image is None:
            return []
        try:
            return checks.check_geometry(facts.grid, image_grid(image))
        except ValueError as error:
            return [unreadable_image(image, error)]

    def _stored_grid_doubts(self, image_id: str) -> list[Doubt]:
        label = self.studies.stored_label(image_id)
        try:
            return [] if label is None else self._grid_doubts(image_id, self.files.label_facts(label))
        except (OSError, ValueError) as error:  # no fault of the image; `take_stock` looks at the label
            logger.warning("The label of %s changed while it was read: %s", image_id, error)
            return []

    def _renew_structures(self) -> None:
        """Drops the structures that no label holds any more, and takes up what labels without doubts hold.

        Nothing is dropped while there is no label at all, or one whose note is missing: names are lost for
        good, and a folder that is not there for a moment is no reason.
        """
        cases = self.studies.ledger.cases()
        kept = self.studies.ledger.label_notes()
        notes = {
            c.image_id: kept[c.image_id]
            for c in cases
            if c.image_id in kept and kept[c.image_id].label_hash == c.label_hash
        }
        structures = self.studies.structures()
        if cases and all(case.image_id in notes for case in cases):
            present = [notes[case.image_id] for case in cases]
            values = (value for note in present for value in note.volumes_ml)
            structures = still_held(structures, values, (pair for note in present for pair in note.named))
        for case in cases:
            if not case.doubts and case.image_id in notes:
                note = notes[case.image_id]
                structures = with_label(structures, tuple(note.volumes_ml), note.named)
        self.studies.keep_structures(structures)

    def _was_assisted(self, image_id: str, client: str | None, annotator: str | None) -> bool:
        # whenever that was: the clock may have been set back since
        names = {client, annotator or client}
        exposed = any(self.studies.ledger.was_exposed(image_id, name) for name in names)
        return exposed or self.studies.has_label(image_id, ORIGINAL)


def _takes_away(before: LabelNote, facts: LabelContent, sent: Names) -> bool:
    """Whether a label lacks a value or a name that the image's label before it held."""
    return not (set(before.volumes_ml) <= set(facts.counts) and set(before.named) <= set(sent))


def _hash(path: Path) -> str | None:
    try:
        return file_hash(path)
    except (OSError, ValueError):
        return None
