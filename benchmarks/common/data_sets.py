"""The public data sets, and their cases as the app sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scaling_app.experiments.cohort import find_cases
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.twins import Twins


@dataclass(frozen=True)
class DataSet:
    """A folder of cases: the pattern whose first group is the patient in a file name, the largest training set.

    Where a patient has many slices, which are alike, more of them are tested.
    """

    name: str
    patient: str | None = None
    largest: int = 128
    test: int = 40

    def cases(self, data: Path) -> list[CaseFiles]:
        """All of them; those of the same image are one patient's, as in `replay`.

        Raises:
            CohortError: `data` does not hold it.
        """
        folder = data / self.name
        return Twins().together(find_cases(folder / "images", folder / "labels", self.patient))


DATA_SETS = (
    DataSet("wbc"),
    DataSet("sunnybrook_lv", r"^(SC-.+?)-IM", test=120),
    DataSet("hc18", r"^(\d+)_"),
    DataSet("busi"),
    DataSet("dsb2018_nuclei"),
    DataSet("axondeepseg_sem", r"^(sub-rat\d+)", largest=64),
    DataSet("chase_db1", r"^(Image_\d+)", largest=16, test=10),
    DataSet("acdc", r"^(patient\d+)"),
    DataSet("msd_hippocampus"),
)
BY_NAME = {data_set.name: data_set for data_set in DATA_SETS}
VOLUMES = ("acdc", "msd_hippocampus")
