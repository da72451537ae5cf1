"""Batch inference: one bad image is no end of the others, and no image is no error."""

from __future__ import annotations

import pytest
from fastapi import HTTPException

from scaling_app.monai_app.batch_task import BatchInfer


@pytest.mark.parametrize("workers", [1, 3])
def test_an_image_that_no_model_can_use_is_said_and_left_out(desk_of, workers):
    desk = desk_of(3)

    def infer(request: dict, datastore: object) -> dict:
        if request["image"] == "synthetic_001":
            raise HTTPException(422, "synthetic_001 cannot be segmented")
        return {"params": {}}

    asked = {"images": list(desk.labels), "max_workers": workers}
    done = BatchInfer(desk.studies)(asked, desk.studies.datastore, infer)
    assert done["synthetic_001"] == {"error": "synthetic_001 cannot be segmented"}
    assert done["synthetic_000"] == done["synthetic_002"] == {"params": {}}


def test_what_is_wrong_with_all_images_ends_the_batch(desk_of):
    desk = desk_of(1)

    def infer(request: dict, datastore: object) -> dict:
        raise HTTPException(409, "No model has been trained yet")

    with pytest.raises(HTTPException, match="No model"):
        BatchInfer(desk.studies)({"images": list(desk.labels)}, desk.studies.datastore, infer)


def test_a_batch_of_no_image_predicts_none(desk_of):
    desk = desk_of(1)
    assert BatchInfer(desk.studies)({"images": "labeled"}, desk.studies.datastore, lambda *_: {}) == {}
