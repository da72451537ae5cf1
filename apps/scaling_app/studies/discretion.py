"""What the app keeps to itself from its start on: its files, and in a server's log the names of images and patients."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from scaling_app.imaging.image_files import stem_of
from scaling_app.log.veil import Veil, hang, secrets_of, veil_at
from scaling_app.storage import keep_private, tighten
from scaling_app.studies.conf import Conf
from scaling_app.studies.place import is_url
from scaling_app.studies.splits import patient_of
from scaling_app.studies.studies import Studies


def begin(
    options: Conf, app_dir: Path, studies: str, settings: Mapping[str, object], *, server: bool
) -> Veil:
    """From here on files are this user's; those of earlier versions become so when a server starts.

    A task's lines are the server's in the end, which puts its veil over them.

    Args:
        settings: of the server, by their names; the veil hides those that are secret.
    """
    keep_private()
    veil = veil_at(options.ledger.parent, secrets_of(settings))
    if server:
        hang(veil)
        if not is_url(studies) and Path(studies).is_dir():
            veil.learn(stem_of(entry.name) for entry in os.scandir(studies))
        of_ledger = options.ledger.parent.glob(f"{options.ledger.name}*")
        for place in (app_dir / "model", app_dir / "logs", *of_ledger):
            tighten(place)
    return veil


def learn_names(veil: Veil, studies: Studies) -> None:
    """Has the veil know all images that are there, and whose they are."""
    new = [image for image in studies.datastore.list_images() if not veil.knows(image)]
    pattern = studies.conf.patient_pattern
    veil.learn(patient_of(image, pattern, studies.datastore.get_image_info(image)) for image in new)
    veil.learn(new)
