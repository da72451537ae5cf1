"""How far two readers of a case agree, measured from their labels.

The case's own label is the reference where its reader drew it alone, else the oldest label that was drawn alone; the
other readers are scored against it as a model is. What is due follows from the ledger: a kill loses nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from scaling_app.ledger import Reading, ReadingScore
from scaling_app.studies.labels.foreign_files import ForeignFiles, NoParserError
from scaling_app.studies.labels.readers import by_image, tag_of
from scaling_app.studies.studies import Studies, file_hash

logger = logging.getLogger(__name__)


class AgreementBook:
    """Keeps the ledger's agreements in step with the readings.

    Args:
        files: reads the labels.
    """

    def __init__(self, studies: Studies, files: ForeignFiles) -> None:
        self.studies, self.files = studies, files
        self._seen: tuple[int, float] | None = None
        self._settled: dict[str, object] = {}

    def measure(self) -> None:
        """Measures what is due, and drops what no reading stands behind any more."""
        ledger = self.studies.ledger
        seen = ledger.revision(), self.studies.conf.tolerance_mm
        if seen == self._seen:
            return
        structures = tuple(sorted(self.studies.structures().items()))
        kept: dict[str, list[ReadingScore]] = {}
        for one in ledger.reading_scores():
            kept.setdefault(one.image_id, []).append(one)
        saved = by_image(reading for reading in ledger.readings() if reading.independent)
        for image in sorted(saved.keys() | kept.keys()):
            read = saved.get(image, []) if self.studies.has_label(image) else []
            state = (read if len(read) > 1 else [], self.studies.conf.tolerance_mm, structures)
            if self._settled.get(image) == state or (
                image not in self._settled and self._is_known(kept.get(image, []), read, structures)
            ):
                continue
            found = self._compared(image, read, structures) if len(read) > 1 else []
            if found is None:
                return  # nobody can read now; later
            if found != kept.get(image, []):
                ledger.keep_reading_scores(image, found)
            self._settled[image] = state
        self._seen = seen  # what came while files were read is for the next look

    def _is_known(
        self, kept: Sequence[ReadingScore], read: Sequence[Reading], structures: Sequence[tuple[str, int]]
    ) -> bool:
        """Whether what is kept was measured on these very readings, structures and tolerance."""
        if len(read) < 2:
            return not kept
        image, hashes = read[0].image_id, {reading.reader: reading.label_hash for reading in read}
        tags = [tag_of(reading.reader) for reading in read]
        if (
            sum(self.studies.has_label(image, tag) for tag in tags) < len(read) - 1
        ):  # one may be the case's own
            return False
        measured = {one.reader: one.label_hash for one in kept}
        measured |= {one.against_reader: one.against_hash for one in kept}
        names = {one.structure for one in kept}
        tolerances = {one.nsd_tolerance_mm for one in kept}
        return (
            measured == hashes
            and names == {name for name, _ in structures}
            and tolerances == {self.studies.conf.tolerance_mm}
        )

    def _compared(
        self, image: str, read: Sequence[Reading], structures: Sequence[tuple[str, int]]
    ) -> list[ReadingScore] | None:
        """The agreements of a case, by reader and structure; None when nobody can read files now."""
        case, tolerance = self.studies.ledger.case(image), self.studies.conf.tolerance_mm
        found_files = {one.reader: self._file_of(one, case.label_hash if case else None) for one in read}
        files = {reader: file for reader, file in found_files.items() if file is not None}
        there = [one for one in read if one.reader in files]
        own = [one for one in there if case is not None and one.label_hash == case.label_hash]
        reference = next(iter([*own, *there]), None)
        found = []
        for one in sorted(there, key=lambda one: one.reader):
            if reference is None or one is reference:
                continue
            try:
                scores = self.files.agreement(
                    files[one.reader], files[reference.reader], dict(structures), tolerance
                )
            except NoParserError:
                logger.exception("The readings of %s could not be compared", image)
                return None
            except (OSError, ValueError, RuntimeError) as error:
                logger.warning("Two readings of %s cannot be compared: %s", image, error)
                continue
            for structure, dice, nsd, one_only in sorted(scores):
                found.append(
                    ReadingScore(
                        image,
                        one.reader,
                        structure,
                        str(one.label_hash),
                        reference.reader,
                        str(reference.label_hash),
                        dice,
                        nsd,
                        tolerance,
                        one_only,
                    )
                )
        return found

    def _file_of(self, reading: Reading, present: str | None) -> Path | None:
        """The file that still holds that very label, or None."""
        image, tag = reading.image_id, tag_of(reading.reader)
        file = self.studies.stored_label(image) if reading.label_hash == present else None
        file = file or self.studies.stored_label(image, tag)
        try:
            return file if file is not None and file_hash(file) == reading.label_hash else None
        except (OSError, ValueError):
            return None
