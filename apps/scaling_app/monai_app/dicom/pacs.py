"""A DICOM server asked over DICOMweb: which series it has, which labels, and what they hold.

Every request is bounded in time and none is repeated: a server that is slow or gone becomes a `PacsError`, which the
routes answer with 503 and its sentence.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import IO, Any

import numpy as np
import requests
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX
from pydicom.dataset import Dataset

from scaling_app.imaging.dicom_segmentation import STORAGE
from scaling_app.imaging.dicom_series import SeriesError
from scaling_app.monai_app.dicom.connection import PacsError, said_of, session_with
from scaling_app.monai_app.dicom.held import HeldSegmentations
from scaling_app.monai_app.dicom.searching import in_parts
from scaling_app.words import whole_number

logger = logging.getLogger(__name__)

LISTED_SECONDS, LISTED_TIMES = 60.0, 20.0
"""How long a list holds while the number of its rows stays: seconds, or so many times what it took to get, if that is more."""

MODALITIES = ("CT", "MR")
"""What is served unless the operator's search filter says otherwise."""

UNSURE = (
    "It may have arrived there all the same. Keep it on the screen and send it again: the newest one counts."
)

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_OLDEST = datetime.min.replace(tzinfo=timezone.utc) + timedelta(days=2)


@dataclass(frozen=True)
class SeriesFacts:
    """What a search says of a series."""

    uid: str
    study: str
    patient: str
    modality: str
    instances: int


@dataclass(frozen=True)
class SegmentationFacts:
    """One Segmentation: of which series it is, who made it, and when.

    Attributes:
        flaw: why nobody can tell of which series it is; else empty.
    """

    sop: str
    series: str
    study: str
    of_series: str
    who: str
    when: datetime
    flaw: str = ""


@dataclass(frozen=True)
class _Listing:
    """What a search found, in how many rows, and until when the number of rows is enough to know it by."""

    series: list[SeriesFacts]
    rows: int
    good_until: float


class Pacs:
    """The DICOM server at an address.

    Args:
        url: of its DICOMweb services.

    Attributes:
        held: the instances of each series of Segmentations.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._listed: dict[str, _Listing] = {}
        self._session = session_with(url)
        self._client = DICOMwebClientX(
            url=url,
            session=self._session,
            qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
            wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
            stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
        )
        self._client.set_http_retry_params(retry=False)
        self.held = HeldSegmentations(self._segmentations_from, _good_for)

    def images(self) -> dict[str, SeriesFacts]:
        """The series that are served, by their UID: of each modality, or as the operator's filter says.

        Raises:
            PacsError: no usable answer.
        """
        told = "MONAI_LABEL_DICOMWEB_SEARCH_FILTER" in settings.model_fields_set
        filters = (
            [settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER] if told else [{"Modality": m} for m in MODALITIES]
        )
        found = {one.uid: one for wanted in filters for one in self._search(wanted)}
        return {uid: one for uid, one in found.items() if one.modality != "SEG"}

    def segmentation_series(self) -> list[SeriesFacts]:
        """The series of Segmentations.

        Raises:
            PacsError: no usable answer.
        """
        return self._search({"Modality": "SEG"})

    def segmentations(self, series: SeriesFacts) -> list[SegmentationFacts]:
        """The Segmentations of a series, those with a flaw, too.

        Raises:
            PacsError: no usable answer.
        """
        try:
            headers = self.headers(series.study, series.uid)
        except SeriesError as error:
            never = datetime.fromtimestamp(0).astimezone()
            return [SegmentationFacts(series.uid, series.uid, series.study, "", "", never, str(error))]
        found = []
        for header in headers:
            if header.get("SOPClassUID") == STORAGE and _is_uid(header.get("SOPInstanceUID")):
                of_series, flaw = _of_series(header)
                sop, who, when = str(header.SOPInstanceUID), _person(header), _made_at(header)
                found.append(SegmentationFacts(sop, series.uid, series.study, of_series, who, when, flaw))
        return found

    def headers(self, study: str, series: str) -> list[Dataset]:
        """The headers of a series' instances, without voxels.

        Raises:
            SeriesError: a header holds what none can.
            PacsError: no usable answer.
        """
        with self._asking():
            answer = list(self._client.retrieve_series_metadata(study, series))
        try:
            return [_dataset(one) for one in answer]
        except Exception as error:  # any field of it may hold anything
            raise SeriesError(f"its headers cannot be read; they may be damaged ({error})") from error

    def instances(self, study: str, series: str) -> Iterator[Dataset]:
        """The instances of a series, whole, one after the other.

        Raises:
            PacsError: no usable answer.
        """
        with self._asking():
            yield from self._client.iter_series(study, series)

    def instance(self, study: str, series: str, sop: str) -> Dataset:
        """One instance, whole.

        Raises:
            PacsError: no usable answer.
        """
        with self._asking():
            return self._client.retrieve_instance(study, series, sop)

    def store(self, instance: Dataset) -> None:
        """Has the server store a Segmentation. Where its answer gets lost, it is asked whether it holds it.

        Raises:
            PacsError: it does not, or nobody knows.
        """
        try:
            answer = self._sent(instance)
        except PacsError as error:
            if (held := self._holds(instance)) is None:
                error.outcome = UNSURE
            if held:
                logger.warning("%s Yet it holds the label.", error)
                return
            if held is None or error.answered:
                raise
            logger.warning("%s It is back, and the label is sent again.", error)
            answer = self._sent(instance)
        if refused := answer.get("FailedSOPSequence"):
            reason = refused[0].get("FailureReason", "none given")
            raise PacsError(
                f"The DICOM server at {self.url} refused the label (reason {reason}).", answered=True
            )

    def _sent(self, instance: Dataset) -> Dataset:
        with self._asking():
            return self._client.store_instances([instance])

    def _holds(self, instance: Dataset) -> bool | None:
        """Whether the server holds it whole; None where it does not say."""
        try:
            with self._asking():
                there = self._client.retrieve_instance(
                    instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.SOPInstanceUID
                )
                return bool(np.array_equal(there.pixel_array, instance.pixel_array))
        except PacsError as error:
            return False if error.answered else None

    def read(self, service: str, path: str, query: str, accept: str) -> requests.Response:
        """What the server answers to a question of a viewer; its body is still to be read.

        Args:
            service: `qido` for a search, anything else for what is stored.
            path: of a DICOMweb resource, below the server's address.
            query: as it stands behind the question mark.

        Raises:
            PacsError: no answer, an error of its own, or it knows us not.
        """
        search = service == "qido" and not path.endswith("/metadata")  # viewers ask a search for these, too
        prefix = settings.MONAI_LABEL_QIDO_PREFIX if search else settings.MONAI_LABEL_WADO_PREFIX
        return self._passed("GET", prefix, path, params=query, headers={"Accept": accept})

    def store_body(self, path: str, body: IO[bytes], kind: str) -> requests.Response:
        """Has the server store what a viewer sent, in the form that the viewer gave it.

        Raises:
            PacsError: as `read`.
        """
        return self._passed(
            "POST", settings.MONAI_LABEL_STOW_PREFIX, path, data=body, headers={"Content-Type": kind}
        )

    def _passed(self, method: str, prefix: str | None, path: str, **said: Any) -> requests.Response:
        place = "/".join(part for part in (self.url, prefix, path) if part)
        with self._asking():
            answer = self._session.request(method, place, stream=True, allow_redirects=False, **said)
            if answer.status_code in (401, 403) or answer.status_code >= 500:
                answer.close()
                answer.raise_for_status()
            return answer

    def _search(self, wanted: Mapping[str, Any]) -> list[SeriesFacts]:
        """All that match; listed anew when their number has changed, and now and then."""
        key = json.dumps(wanted, sort_keys=True)
        known = self._listed.get(key)
        if (
            known is not None
            and time.monotonic() < known.good_until
            and self._are_as_many(wanted, known.rows)
        ):
            return known.series
        began = time.monotonic()
        series, rows = self._list(wanted)
        ended = time.monotonic()
        self._listed[key] = _Listing(series, rows, ended + _good_for(ended - began))
        return series

    def _are_as_many(self, wanted: Mapping[str, Any], rows: int) -> bool:
        """Whether the server still finds that many: asked for two from the last one on, it gives one."""
        with self._asking():
            last = self._client.search_for_series(
                search_filters=dict(wanted), offset=max(rows - 1, 0), limit=2
            )
            return len(last or ()) == min(rows, 1)

    def _list(self, wanted: Mapping[str, Any]) -> tuple[list[SeriesFacts], int]:
        def ask(row: int) -> list[SeriesFacts | None]:
            with self._asking():
                part = self._client.search_for_series(search_filters=dict(wanted), offset=row) or ()
            return self._facts_of(part)

        found, rows = in_parts(ask, lambda one: one.uid)
        return list(found.values()), rows

    def _facts_of(self, part: Sequence[Any]) -> list[SeriesFacts | None]:
        """What the rows of a search say; an odd one hides no other.

        Raises:
            PacsError: not one of them can be read.
        """
        facts: list[SeriesFacts | None] = []
        odd: Exception | None = None
        for row in part:
            try:
                facts.append(_series_facts(_dataset(row)))
            except Exception as error:  # any field of it may hold anything
                odd = error
                facts.append(None)
        if odd is not None:
            if not any(facts):
                raise said_of(self.url, odd) from odd
            logger.warning("A series of the DICOM server cannot be read and is left out: %s", odd)
        return facts

    def _segmentations_from(self, row: int) -> Sequence[Any]:
        with self._asking():
            return self._client.search_for_instances(search_filters={"Modality": "SEG"}, offset=row) or ()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except PacsError:
            raise
        except Exception as error:  # whatever the libraries' parsers make of what no DICOM server sends
            raise said_of(self.url, error) from error


def _good_for(took: float) -> float:
    return max(LISTED_SECONDS, LISTED_TIMES * took)


def _dataset(row: Mapping[str, Any]) -> Dataset:
    # large values stay on the server; no header that is needed here is one
    return Dataset.from_json(row, bulk_data_uri_handler=lambda *_: None)


def _series_facts(row: Dataset) -> SeriesFacts | None:
    uid, study = str(row.get("SeriesInstanceUID", "")), str(row.get("StudyInstanceUID", ""))
    if not (_is_uid(uid) and _is_uid(study)):
        logger.warning("A series of the DICOM server has no usable UID: %.80s", uid)
        return None
    count = row.get("NumberOfSeriesRelatedInstances")
    patient, modality = str(row.get("PatientID") or "").strip(), str(row.get("Modality") or "")
    return SeriesFacts(uid, study, patient, modality, int(count) if count else 0)


def _of_series(header: Dataset) -> tuple[str, str]:
    """The series that a Segmentation names, and what is wrong with how it does."""
    try:
        named = [str(one.SeriesInstanceUID) for one in header.get("ReferencedSeriesSequence") or ()]
    except (AttributeError, TypeError):
        named = []
    if not named:
        return "", "it does not say which series it was drawn on"
    if len(set(named)) > 1:
        return named[0], "it names several series, and nobody can tell which of them it was drawn on"
    return named[0], ""


def _is_uid(told: object) -> bool:
    """Whether it is a UID, and so can be a part of an address and of a file's name."""
    return len(str(told)) <= 64 and _UID.fullmatch(str(told)) is not None


def _person(header: Dataset) -> str:
    name = str(header.get("ContentCreatorName") or "").strip("^ ")
    return " ".join(part for part in name.split("^") if part)


def _made_at(header: Dataset) -> datetime:
    """When a Segmentation was made; in the server's own zone where the file names none."""
    for day, hour in (
        ("ContentDate", "ContentTime"),
        ("InstanceCreationDate", "InstanceCreationTime"),
        ("SeriesDate", "SeriesTime"),
    ):
        digits = str(header.get(day) or "").replace(".", "")
        clock, _, part = str(header.get(hour) or "").replace(":", "").partition(".")
        try:
            made = datetime.strptime(digits + clock.ljust(6, "0")[:6], "%Y%m%d%H%M%S")
        except ValueError:
            continue
        # without a fraction it is any moment of that second: the last, since what it corrects came before
        fraction = whole_number(part[:6].ljust(6, "0")) if part else None
        made = made.replace(microsecond=999_999 if fraction is None else fraction)
        return _in_zone(made, str(header.get("TimezoneOffsetFromUTC") or ""))
    return _OLDEST


def _in_zone(made: datetime, offset: str) -> datetime:
    try:
        return datetime.strptime(
            f"{made.isoformat(timespec='microseconds')}{offset.strip()}", "%Y-%m-%dT%H:%M:%S.%f%z"
        )
    except ValueError:
        return made.astimezone()


def newest_first(found: Sequence[SegmentationFacts]) -> list[SegmentationFacts]:
    """The order in which Segmentations count, the same for every server that asks."""
    return sorted(found, key=lambda one: (one.when, one.sop), reverse=True)
