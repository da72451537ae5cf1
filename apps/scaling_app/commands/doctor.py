"""`scaling-app doctor`: what this installation can do, and what to change where something is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scaling_app.commands.launch import default_app_dir
from scaling_app.experiments.progress import shown
from scaling_app.imaging.dicom_segmentation import require_writer
from scaling_app.trials.case_cache import bound


@dataclass(frozen=True)
class Finding:
    """One line of the examination; a finding that is not `good` and not `optional` fails it."""

    what: str
    good: bool
    detail: str
    optional: bool = False


def examine() -> int:
    """Prints what this installation can do; returns 0 when the server can run, else 1."""
    findings: list[Finding] = []
    with shown() as bars:  # on a slow disk the imports alone take minutes
        for done, check in enumerate(CHECKS):
            bars.phase("checks", done, len(CHECKS))
            findings += check()
        bars.phase("checks", len(CHECKS), len(CHECKS))
    return show(findings, "scaling-app doctor")


def show(findings: Sequence[Finding], title: str) -> int:
    """Prints the findings as a table; returns 0 when none has to be mended, else 1."""
    table = Table(title=title, show_lines=False)
    for heading in ("", "what", "finding"):
        table.add_column(heading)
    for finding in findings:
        mark = "[green]ok[/]" if finding.good else ("[yellow]note[/]" if finding.optional else "[red]fix[/]")
        detail = Text(finding.detail, overflow="fold")  # no markup: brackets in it are pip's extras
        table.add_row(mark, finding.what, detail)
    Console().print(table)
    return 0 if all(f.good or f.optional for f in findings) else 1


def _python() -> Iterator[Finding]:
    good = (3, 10) <= sys.version_info[:2] <= (3, 12)
    yield Finding(
        "Python", good, platform.python_version() + ("" if good else ": MONAI Label 0.8.5 needs 3.10 to 3.12")
    )


def _packages() -> Iterator[Finding]:
    try:
        needed = metadata.requires("scaling-app") or []
    except metadata.PackageNotFoundError:
        yield Finding(
            "scaling-app", False, "not installed: pip install . in the folder of its pyproject.toml"
        )
        return
    for line in needed:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding(requirement.name, False, f"missing: pip install '{requirement}'")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield Finding(requirement.name, False, f"{version}: pip install '{requirement}'")
        elif requirement.name in ("monailabel", "monai", "torch"):
            yield Finding(requirement.name, True, version)


def _monai_label() -> Iterator[Finding]:
    try:
        import monailabel.interfaces.app  # noqa: F401
    except Exception as error:
        yield Finding("MONAI Label imports", False, f"{type(error).__name__}: {error}")
    else:
        yield Finding("MONAI Label imports", True, "yes")


def _device() -> Iterator[Finding]:
    import psutil
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        yield Finding("GPU", True, f"{name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")
    else:
        yield Finding("GPU", False, "none: trains on the processor, with small networks", optional=True)
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    enough = memory.total > 6 * 2**30
    advice = "" if enough else ": serve with --conf memory_gb 1, or add memory"
    yield Finding("Memory", enough, f"{memory.total / 2**30:.0f} GiB, {cores} cores{advice}")


def _torchvision() -> Iterator[Finding]:
    try:
        import torchvision  # noqa: F401
    except Exception:
        detail = "does not import beside this PyTorch (a build for another device?): only `deeplab` needs it"
        yield Finding("torchvision", False, detail, optional=True)
    else:
        yield Finding("torchvision", True, metadata.version("torchvision"))


def _dicom() -> Iterator[Finding]:
    try:
        require_writer()
    except ValueError as error:
        yield Finding(
            "DICOM server", False, f"{error}; a folder of images needs no such package", optional=True
        )
    else:
        yield Finding("DICOM server", True, f"highdicom {metadata.version('highdicom')} writes the labels")


def _disk() -> Iterator[Finding]:
    app = default_app_dir()  # where the server keeps models and prepared cases
    there = next(folder for folder in (app, *app.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    good = free > 2 * 2**30
    advice = "" if good else f": free some space in {there}, or serve with --app on another disk"
    yield Finding("Disk", good, f"{free / 2**30:.0f} GiB free for models and prepared cases{advice}")
    yield Finding(
        "Prepared cases",
        True,
        f"at most {bound(free) / 2**30:.0f} GiB; they may be deleted: the folders model/*/cache in {app}",
    )


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _monai_label,
    _device,
    _torchvision,
    _dicom,
    _disk,
)
