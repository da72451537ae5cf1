"""Segmentations as another program writes them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from pydicom import dcmread


def by_dcmqi(label: Path, source: Path, names: dict[int, str]) -> object:
    """The Segmentation that dcmqi writes."""
    tissue = {"CodeValue": "85756007", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Tissue"}
    attributes = [
        {
            "labelID": value,
            "SegmentLabel": name,
            "SegmentDescription": name,
            "SegmentAlgorithmType": "MANUAL",
            "SegmentedPropertyCategoryCodeSequence": tissue,
            "SegmentedPropertyTypeCodeSequence": tissue,
            "recommendedDisplayRGBValue": [255, 0, 0],
        }
        for value, name in names.items()
    ]
    about = {
        "ContentCreatorName": "Another",
        "SeriesDescription": "corrected",
        "SeriesNumber": "301",
        "InstanceNumber": "1",
        "segmentAttributes": [attributes],
        "ContentLabel": "SEGMENTATION",
        "ContentDescription": "corrected",
        "BodyPartExamined": "",
    }
    meta, out = source.parent / "meta.json", source.parent / "dcmqi.dcm"
    meta.write_text(json.dumps(about))
    command = ["itkimage2segimage", "--inputImageList", str(label), "--inputDICOMDirectory", str(source)]
    command += ["--outputDICOM", str(out), "--inputMetadata", str(meta), "--skip"]
    subprocess.run(command, check=True, capture_output=True)
    return dcmread(out)
