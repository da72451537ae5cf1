"""The rows of a preview's montage stand as the images do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scaling_app.experiments.montage import GAP, montage_row
from scaling_app.strategies.base import PreparedCase


def test_a_picture_stands_as_in_its_file_and_a_volume_with_y_upwards() -> None:
    for spacing in ((1.0, 1.0), (1.0, 1.0, 4.0)):
        shape = (32, 48, 4)[: len(spacing)]
        image, label = torch.zeros(1, *shape), torch.zeros(1, *shape, dtype=torch.uint8)
        image[:, :, :24], label[:, 8:16, 4:12] = 1.0, 1  # bright where y is small
        row = montage_row(PreparedCase("a", "a", image, label), image, label, None, spacing)
        height, first_panel = len(row), row[:, :40].mean(axis=(1, 2))
        top, bottom = first_panel[: height // 3].mean(), first_panel[-height // 3 :].mean()
        assert (top > bottom) == (len(spacing) == 2)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_three_channels_are_shown_in_colour_and_others_in_grey(channels: int) -> None:
    image = torch.zeros(channels, 32, 32)
    image[0, :16], image[-1, 16:] = 2.0, 1.0  # red on the left, blue on the right
    label = torch.zeros(1, 32, 32, dtype=torch.uint8)
    label[:, 30:, 30:] = 1
    row = montage_row(PreparedCase("a", "a", image, label), image, label, None, (1.0, 1.0))
    for first in (0, row.shape[0] + GAP):
        left, right = (row[40:200, first + x : first + x + 60].reshape(-1, 3).mean(0) for x in (20, 180))
        if channels == 3:
            assert left.argmax() == 0 and right.argmax() == 2 and left[2] < 1 and right[0] < 1
        else:
            assert np.ptp(left) == np.ptp(right) == 0
