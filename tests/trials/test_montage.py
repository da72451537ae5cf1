"""The rows of a preview's montage stand as the images do."""

from __future__ import annotations

import torch

from scaling_app.experiments.montage import montage_row
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
