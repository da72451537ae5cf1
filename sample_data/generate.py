"""Makes the sample data: synthetic cases, images/ and labels/ side by side.

    python sample_data/generate.py [--out DIR] [--cases N]

The few cases kept beside this file are the first of the same family, made by this script.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scaling_app.imaging.synthetic import make_case, write_case


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder for images/ and labels/"
    )
    parser.add_argument("--cases", type=int, default=6, help="how many cases")
    arguments = parser.parse_args()
    for index in range(arguments.cases):
        suffix = ".nrrd" if index % 3 == 2 else ".nii.gz"
        path = write_case(make_case(index), arguments.out / "images", arguments.out / "labels", suffix=suffix)
        print(path)


if __name__ == "__main__":
    main()
