"""Puts the helpers of these tests on the path; says where the packages of DICOM are missing."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")
