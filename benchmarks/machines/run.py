"""How many runs of the curve a cluster makes in an hour, with 1, 2 and 4 workers.

Each row is a curve job of its own over the same synthetic cases, on a Dask cluster of worker processes with one thread each on
this machine: more workers than processors show what they share. `here` is the job without a cluster.

    python -m benchmarks.machines.run --out benchmarks/machines/results/machines.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

import distributed
import torch

from scaling_app.imaging import synthetic
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.studies.conf import read_conf
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.labels.intake import LabelIntake
from scaling_app.studies.studies import Studies
from scaling_app.studies.train_options import parse_options


def main() -> None:
    """Measures and writes the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4], help="0: without a cluster")
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    table = {"processors": os.cpu_count(), "steps": options.steps, "rows": []}
    for workers in options.workers:
        table["rows"] += [row := one_job(workers, options)]
        options.out.write_text(json.dumps(table, indent=1) + "\n")
        print(json.dumps(row), flush=True)


def one_job(workers: int, options: argparse.Namespace) -> dict[str, object]:
    """A curve job from its first run to its last; the start of the cluster is not counted."""
    with tempfile.TemporaryDirectory() as made, cluster_of(workers) as address:
        studies = session(Path(made), options.cases, options.size, address)
        began = time.perf_counter()
        done = run_curve_job(studies, parse_options({"steps": options.steps}, studies.conf), 600)
        seconds = time.perf_counter() - began
        assert done["done"] == done["total"], done
    return {
        "workers": workers or "here",
        "runs": done["done"],
        "seconds": round(seconds, 1),
        "runs_an_hour": round(3600 * done["done"] / seconds),
        "message": done["message"],
        "load_1_min": round(os.getloadavg()[0], 1),
    }


@contextlib.contextmanager
def cluster_of(workers: int):
    """The address of a scheduler whose workers have their libraries loaded; an empty text without any."""
    if not workers:
        yield ""
        return
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(_load)
        yield cluster.scheduler_address


def _load() -> None:
    import scaling_app.studies.curve_run  # noqa: F401


def session(folder: Path, cases: int, size: int, scheduler: str) -> Studies:
    """Studies whose cases all have their labels."""
    labels = {}
    for index in range(cases):
        case = synthetic.make_case(index, size=size)
        image = synthetic.write_case(case, folder / "studies", folder / "truth")
        labels[case.case_id] = folder / "truth" / image.name
    conf = {"network": "resunet", **({"scheduler": scheduler} if scheduler else {})}
    options = read_conf(conf, app_dir=folder / "app", studies=str(folder / "studies"))
    studies = Studies(options, StudiesFolder(folder / "studies"))
    intake = LabelIntake(studies)
    info = [{"name": name, "idx": value} for name, value in synthetic.STRUCTURES.items()]
    for image_id, label in labels.items():
        intake.store(image_id, label, {"label_info": info}, None)
    return studies


if __name__ == "__main__":
    main()
