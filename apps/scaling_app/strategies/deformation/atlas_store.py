"""Registrations that outlive a training: kept by content, reused, extended by new cases one at a time.

An atlas is kept under the contents of its labelled cases; a registration under the atlas and the contents of
the case. A fold that contains all the members of a stored atlas and fewer than a quarter more takes it over
and registers only what is new, as long as the same structures are in all of its labels as in all of theirs; any
other fold builds its own, so that no case from outside a fold ever shapes its template. A run that is compared with
others takes over what is its very own alone: nothing that was done before it may change it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scaling_app.storage import whole_file
from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation.alignment import Frame, Placement, sort_structures
from scaling_app.strategies.deformation.atlas import (
    Atlas,
    Registered,
    build_atlas,
    register_labelled,
    register_unlabelled,
    without_patient,
)
from scaling_app.strategies.deformation.registration import RegistrationSettings, Template
from scaling_app.strategies.deformation.velocity import Lattice

logger = logging.getLogger(__name__)

_VERSION = 4
_GROWTH = 1.25


def content_hash(case: PreparedCase, *, with_label: bool) -> str:
    """Identifies a prepared case by its voxels."""
    digest = hashlib.blake2b(digest_size=12)
    for part in (case.image, case.label if with_label else None):
        if part is not None:
            digest.update(str(tuple(part.shape)).encode())
            digest.update(part.contiguous().numpy().data)
    return digest.hexdigest()


class AtlasStore:
    """Atlases and registrations of one kind of plan, on disk when there is a folder.

    Args:
        extends: whether a stored atlas of some of the cases may serve, extended by the others.
    """

    def __init__(
        self,
        folder: Path | None,
        spacing_mm: Sequence[float],
        structures: Mapping[str, int],
        settings: RegistrationSettings | None = None,
        *,
        extends: bool = True,
    ) -> None:
        self._extends = extends
        self._folder = folder / "deformation" if folder is not None else None
        self._spacing, self._structures = tuple(spacing_mm), dict(structures)
        self._settings = settings or RegistrationSettings()
        kind = [_VERSION, self._spacing, sorted(self._structures.values()), asdict(self._settings)]
        self._kind = hashlib.blake2b(repr(kind).encode(), digest_size=8).hexdigest()

    def atlas(self, cases: Sequence[PreparedCase]) -> tuple[str, Atlas, dict[str, Registered]]:
        """The fold's atlas: its key, itself, and every labelled case around it by case id."""
        digests = {case.case_id: content_hash(case, with_label=True) for case in cases}
        distinct = {digests[case.case_id]: case for case in cases}
        key, atlas, members = self._find(distinct)
        if atlas is None:
            atlas = build_atlas(list(distinct.values()), self._spacing, self._structures, self._settings)
            members = {digest: atlas.members[case.case_id] for digest, case in distinct.items()}
            key = self._key(members)
            self._write(f"{key}.atlas.pt", _atlas_content(atlas, members))
        around = dict(members)
        for digest, case in distinct.items():
            if digest not in around:
                work = partial(register_labelled, atlas, case, self._spacing)
                around[digest] = self._remember(key, digest, work)
        return key, atlas, {case_id: around[digest] for case_id, digest in digests.items()}

    def unlabelled(
        self, key: str, atlas: Atlas, case: PreparedCase, predict: Callable[[Tensor], Tensor] | None = None
    ) -> Registered:
        """An image around the atlas of that key; kept only when no model's prediction went into it."""

        def work() -> Registered:
            return register_unlabelled(atlas, case, self._spacing, predict)

        if predict is not None:
            return work()
        return self._remember(key, content_hash(case, with_label=False), work)

    def left_out(
        self,
        key: str,
        atlas: Atlas,
        cases: Sequence[PreparedCase],
        around: Mapping[str, Registered],
        chosen: Sequence[PreparedCase],
    ) -> dict[str, tuple[Atlas, Registered]]:
        """Some of the cases, each by its image alone around the atlas of the other patients' cases.

        Args:
            key: of the atlas.
            atlas: of the cases.
            cases: the fold's, with a label each.
            around: where each lies.
            chosen: those to be registered; one without a case of another patient is passed over.
        """
        without = without_patient(atlas, cases, self._spacing, around)
        digests = {case.case_id: content_hash(case, with_label=True) for case in cases}
        found: dict[str, tuple[Atlas, Registered]] = {}
        for case in chosen:
            others = without(case.patient)
            if others is not None:
                members = {digests[case_id]: None for case_id in others.members}
                apart = f"{key}-{self._key(members).rpartition('-')[2]}"
                found[case.case_id] = others, self.unlabelled(apart, others, case)
        return found

    def _find(self, wanted: Mapping[str, PreparedCase]) -> tuple[str, Atlas | None, dict[str, Registered]]:
        """A stored atlas whose members are all wanted, and that compares and masks what this fold's own would."""
        if self._folder is None:
            return "", None, {}
        exact = self._folder / f"{self._key(wanted)}.atlas.pt"
        if (content := self._read(exact)) is not None:
            return self._taken_over(exact, content)
        if not self._extends:
            return "", None, {}
        fitting = None
        for path in sorted(self._folder.glob(f"{self._kind}-*.atlas.pt")):
            content = self._read(path)
            if content is None:
                continue
            members = set(content["members"])
            if not (members <= wanted.keys() and len(wanted) < _GROWTH * len(members)):
                continue
            fitting = fitting or sort_structures(
                [case.known_label for case in wanted.values()], self._structures
            )
            if (content["shared"], content["masked"]) == fitting:
                return self._taken_over(path, content)
        return "", None, {}

    def _taken_over(self, path: Path, content: dict[str, Any]) -> tuple[str, Atlas, dict[str, Registered]]:
        return path.name.removesuffix(".atlas.pt"), *_atlas_from(content, self._settings)

    def _key(self, members: Mapping[str, Any]) -> str:
        joined = "".join(sorted(members)).encode()
        return f"{self._kind}-{hashlib.blake2b(joined, digest_size=10).hexdigest()}"

    def _remember(self, key: str, digest: str, work: Callable[[], Registered]) -> Registered:
        name = f"{key}-{digest}.case.pt"
        content = self._read(self._folder / name) if self._folder is not None else None
        if content is not None:
            return _registered_from(content)
        registered = work()
        self._write(name, _registered_content(registered))
        return registered

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        try:
            return torch.load(path, weights_only=True)
        except Exception as error:  # what a damaged pickle raises is not bounded
            logger.warning("registering anew: %s cannot be read (%s)", path.name, error)
            return None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        if self._folder is None:
            return
        with whole_file(self._folder / name) as part:
            torch.save(content, part)


def _registered_content(registered: Registered) -> dict[str, Any]:
    return {"placement": asdict(registered.placement), "velocity": registered.velocity}


def _registered_from(content: dict[str, Any]) -> Registered:
    return Registered(Placement(**content["placement"]), content["velocity"])


def _atlas_content(atlas: Atlas, members: Mapping[str, Registered]) -> dict[str, Any]:
    return {
        "grid": asdict(atlas.frame.grid),
        "nodes": asdict(atlas.frame.nodes),
        "image": atlas.template.image,
        "signed": atlas.template.signed,
        "shared": atlas.shared,
        "masked": atlas.masked,
        "radius_mm": atlas.radius_mm,
        "parts": atlas.parts,
        "centre": atlas.centre,
        "members": {h: _registered_content(r) for h, r in members.items()},
    }


def _atlas_from(
    content: dict[str, Any], settings: RegistrationSettings
) -> tuple[Atlas, dict[str, Registered]]:
    members = {h: _registered_from(c) for h, c in content["members"].items()}
    frame = Frame(Lattice(**content["grid"]), Lattice(**content["nodes"]))
    atlas = Atlas(
        frame,
        Template(content["image"], content["signed"]),
        content["shared"],
        content["masked"],
        content["radius_mm"],
        content["parts"],
        content["centre"],
        {},
        settings,
    )
    return atlas, members
