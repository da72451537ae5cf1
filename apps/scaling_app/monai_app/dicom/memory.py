"""What was learnt of a DICOM server, kept beside the copies: a restart asks only for what is new."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from scaling_app.monai_app.dicom.pacs import SegmentationFacts, SeriesFacts
from scaling_app.storage import whole_file, write_whole_text

logger = logging.getLogger(__name__)

NAME = "pacs.json"


@dataclass
class PacsMemory:
    """What is known of the series and Segmentations of a server.

    Attributes:
        folder: where it is kept.
        images: the series that are served or were found unfit, by their UID.
        judged: series whose headers were looked at, by their UID: what speaks against them, or an empty text.
        segmentations: the Segmentations of each series of such, by its UID, with the number of its instances.
    """

    folder: Path
    images: dict[str, SeriesFacts] = field(default_factory=dict)
    judged: dict[str, str] = field(default_factory=dict)
    segmentations: dict[str, tuple[int, list[SegmentationFacts]]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> PacsMemory:
        """As it was kept; empty where there is none, or what there is cannot be read."""
        memory = cls(folder)
        try:
            told = json.loads((folder / NAME).read_text())
            memory.images = {uid: SeriesFacts(**facts) for uid, facts in told["images"].items()}
            memory.judged = dict(told["judged"])
            memory.segmentations = {
                uid: (count, [_from_json(one) for one in found])
                for uid, (count, found) in told["segmentations"].items()
            }
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            logger.warning(
                "What was known of the DICOM server cannot be read and is asked for anew: %s", error
            )
            return cls(folder)
        return memory

    def keep(self) -> None:
        """Writes it down.

        Raises:
            OSError: it cannot be written.
        """
        told = {
            "images": {uid: asdict(facts) for uid, facts in self.images.items()},
            "judged": self.judged,
            "segmentations": {
                uid: (count, [{**asdict(one), "when": one.when.isoformat()} for one in found])
                for uid, (count, found) in self.segmentations.items()
            },
        }
        write_whole_text(self.folder / NAME, json.dumps(told))

    def of_image(self, image: str) -> list[SegmentationFacts]:
        """The Segmentations of an image."""
        return [one for _, found in self.segmentations.values() for one in found if one.of_series == image]

    def of_path(self, path: str) -> list[SegmentationFacts]:
        """The Segmentations whose voxels a DICOMweb address hands out: those of a study, a series or an instance."""
        parts = path.split("/")
        if parts[0] != "studies" or parts[-1] in ("studies", "metadata", "series", "instances"):
            return []
        named = dict(zip(parts[::2], parts[1::2], strict=False))
        wanted = [named.get(kind) for kind in ("studies", "series", "instances")]
        return [
            one
            for _, found in self.segmentations.values()
            for one in found
            if all(w in (None, its) for w, its in zip(wanted, (one.study, one.series, one.sop), strict=True))
        ]

    def headers(self, image: str) -> list[Dataset] | None:
        """The headers of an image that was fetched before."""
        try:
            with gzip.open(self._header_file(image), "rt") as text:
                return [
                    Dataset.from_json(one, bulk_data_uri_handler=lambda *_: None) for one in json.load(text)
                ]
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError) as error:
            logger.warning("The headers kept of %s cannot be read and are asked for anew: %s", image, error)
            return None

    def keep_headers(self, image: str, headers: Sequence[Dataset]) -> None:
        """Keeps the headers of an image: labels are put on its grid by them.

        Raises:
            OSError: they cannot be written.
        """
        text = json.dumps([header.to_json_dict() for header in headers])
        with whole_file(self._header_file(image)) as part:
            part.write_bytes(gzip.compress(text.encode()))

    def forget(self, image: str) -> None:
        """Drops what is known of an image's headers."""
        self.judged.pop(image, None)
        self._header_file(image).unlink(missing_ok=True)

    def _header_file(self, image: str) -> Path:
        return self.folder / ".headers" / f"{image}.json.gz"


def _from_json(told: dict[str, str]) -> SegmentationFacts:
    return SegmentationFacts(**{**told, "when": datetime.fromisoformat(told["when"])})  # type: ignore[arg-type]
