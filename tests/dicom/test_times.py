"""When a Segmentation was made."""

from __future__ import annotations

import pytest

from scaling_app.monai_app.dicom.pacs import _made_at


@pytest.mark.parametrize(
    ("fraction", "microsecond"), [(".5", 500_000), (".1234567", 123_456), (".²", 999_999), ("", 999_999)]
)
def test_a_fraction_of_a_second_that_is_no_number_is_the_last_of_that_second(
    fraction: str, microsecond: int
) -> None:
    header = {"ContentDate": "20240131", "ContentTime": f"101112{fraction}"}
    assert _made_at(header).microsecond == microsecond  # type: ignore[arg-type]
