"""What starts often loads little: MONAI without the libraries that nothing here uses, and readers without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scaling_app.lean_monai import NOT_NEEDED


def loaded_by(code: str) -> set[str]:
    """The top names of all modules that are there after this code."""
    code += "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.slow_processes
def test_monai_is_loaded_without_trackers_and_plots_which_are_there_all_the_same() -> None:
    code = "import scaling_app, monai\nassert monai.networks.nets.UNet and monai.metrics.compute_dice"
    loaded = loaded_by(code)
    assert "monai" in loaded and not loaded & set(NOT_NEEDED)
    assert "matplotlib" in loaded_by(f"{code}\nimport matplotlib")


@pytest.mark.slow_processes
@pytest.mark.parametrize(
    "module",
    [
        "scaling_app.ledger.ledger, scaling_app.forecast.forecaster, scaling_app.service.routes",  # in the server's event loop
        "scaling_app.studies.labels.parsing_process",  # one beside each server
        "scaling_app.commands.cli",
    ],
)
def test_what_reads_and_what_answers_loads_no_torch(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"torch", "monai", "monailabel"}
