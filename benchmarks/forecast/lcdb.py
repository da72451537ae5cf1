"""Reads the learning-curve library LCDB 1.1 and splits its data sets, once and for ever, by hash.

LCDB 1.1 (Yan, Mohr, Viering: LCDB 1.1, a database illustrating learning curves are more ill-behaved than
previously thought, NeurIPS 2025; CC BY 4.0) holds the test error of 28 learners on 265 tabular data sets
at sizes 16 * 2^(k/8). Twelve learners that a practitioner would choose, at doubling sizes, are used here;
curves need all sizes up to 1,024.

Data sets whose identifier's SHA-256 starts with a hexadecimal digit below `a` (10 of 16) are `tuning`: they
alone feed the shipped prior and every setting. The others are `report`: nothing was ever chosen on them. An identifier is
no guarantee: 1590, 57, 1036 and 554 of the report part are made of the same cases as 1119, 1000, 1040 and 1041 of the
other, and 21 and 40975 are both car.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEARNERS = (
    "SVM_RBF", "LogisticRegression", "MLP", "LDA", "KNN", "ens.RandomForest", "ens.ExtraTrees",
    "ens.GradientBoosting", "CatBoost", "RealMLP", "TabPFNv2", "Decision Tree",
)  # fmt: skip
SIZES = np.array([16, 32, 64, 128, 256, 512, 1024, 2048], dtype=float)
NEEDED = 7
ARCHIVE = "lcdb11_error_rate.tar.xz"
TABLE = Path(__file__).parent / "data" / "lcdb11_curves.csv.gz"


@dataclass(frozen=True)
class Library:
    """Real learning curves.

    Attributes:
        error: `(J, 8)` mean test error at `SIZES`, NaN where not measured.
        spread: `(J, 8)` standard deviation over repetitions.
        dataset: `(J,)` OpenML identifiers.
        learner: `(J,)` indices into `LEARNERS`.
    """

    error: np.ndarray
    spread: np.ndarray
    dataset: np.ndarray
    learner: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Library:
        return Library(self.error[rows], self.spread[rows], self.dataset[rows], self.learner[rows])

    def __len__(self) -> int:
        return len(self.error)

    def tuning(self) -> Library:
        """Curves of the data sets that may be learned from."""
        return self[np.array([is_tuning(int(d)) for d in self.dataset])]

    def report(self) -> Library:
        """Curves of the data sets that results are reported on."""
        return self[~np.array([is_tuning(int(d)) for d in self.dataset])]


def is_tuning(dataset: int) -> bool:
    """Whether a data set belongs to the tuning part."""
    return hashlib.sha256(f"lcdb:{dataset}".encode()).hexdigest()[0] in "0123456789"


def read_archive(folder: Path) -> Library:
    """Reads LCDB 1.1's own archive in `folder` (a minute).

    Raises:
        FileNotFoundError: the archive is not there; the message says where it can be had.
    """
    archive = folder / ARCHIVE
    if not archive.is_file():
        raise FileNotFoundError(
            f"{archive} not found; LCDB 1.1's error rates, as JSON per data set, packed as tar.xz"
        )
    with tarfile.open(archive) as tar:
        files = {Path(m.name).name: m for m in tar.getmembers() if m.isfile()}
        parents = {m.name: Path(m.name).parent.name for m in files.values()}

        def load(member: tarfile.TarInfo) -> object:
            stream = tar.extractfile(member)
            assert stream is not None
            return json.load(io.TextIOWrapper(stream, encoding="utf-8"))

        meta = load(files["meta.json"])
        rows = [
            (int(Path(name).stem), load(member))
            for name, member in sorted(files.items())
            if parents[member.name] == "er"
        ]
    anchors = np.array(meta["anchors"], dtype=float)
    columns = [int(np.flatnonzero(anchors == size)[0]) for size in SIZES]
    learners = [meta["learners"].index(name) for name in LEARNERS]
    return _collect(rows, learners, columns)


def write_curves(library: Library, path: Path = TABLE) -> None:
    """Writes the compact table."""
    with gzip.GzipFile(path, "wb", mtime=0) as binary, io.TextIOWrapper(binary, encoding="utf-8") as stream:
        stream.write("dataset,learner," + ",".join(f"error_{n:.0f}" for n in SIZES))
        stream.write("," + ",".join(f"sd_{n:.0f}" for n in SIZES) + "\n")
        for i in range(len(library)):
            values = [*library.error[i], *library.spread[i]]
            cells = ["" if np.isnan(v) else f"{v:.4f}" for v in values]
            stream.write(f"{library.dataset[i]},{LEARNERS[library.learner[i]]},{','.join(cells)}\n")


def read_curves(path: Path = TABLE) -> Library:
    """Reads the compact table."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    values = np.array([[float(cell) if cell else np.nan for cell in row[2:]] for row in rows])
    return Library(
        error=values[:, : len(SIZES)],
        spread=values[:, len(SIZES) :],
        dataset=np.array([int(row[0]) for row in rows]),
        learner=np.array([LEARNERS.index(row[1]) for row in rows]),
    )


def _collect(rows: list[tuple[int, list]], learners: list[int], columns: list[int]) -> Library:
    curves: list[tuple[np.ndarray, np.ndarray, int, int]] = []
    for dataset, tables in rows:
        for position, learner in enumerate(learners):
            mean, spread = (
                np.array([_test_value(tables[learner][part], column) for column in columns])
                for part in (0, 1)
            )
            if np.isfinite(mean[:NEEDED]).all():
                curves.append((mean, spread, dataset, position))
    error, spread, dataset, learner = (np.array(values) for values in zip(*curves, strict=True))
    return Library(error, spread, dataset, learner)


def _test_value(table: list, column: int) -> float:
    cell = table[column] if column < len(table) else None
    value = cell[2] if cell is not None else None
    return float("nan") if value is None else float(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the archive lies; the compact table is made from it")
    write_curves(read_archive(parser.parse_args().folder))
