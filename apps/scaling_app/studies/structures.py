"""Which label value is which structure: as long as labels hold a value, it keeps its meaning.

The map starts from `--conf labels` or from the first labels (the values found, with the names that came
in `label_info`) and lives in the ledger. Without `--conf labels` it grows by the labels that nobody doubts,
and a structure leaves it with the last label that holds or names it. A value first seen without a name gets
the placeholder `structure_<value>`, which a name may replace later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scaling_app.studies.conf import ConfError


def placeholder(value: int) -> str:
    """The name of a structure nobody has named yet."""
    return f"structure_{value}"


def with_conf(stored: Mapping[str, int], wanted: Mapping[str, int] | None) -> dict[str, int]:
    """The stored map joined with `--conf labels`; placeholders take the names given.

    Raises:
        ConfError: a structure would change its value, or a value its meaning.
    """
    if wanted is None:
        return dict(stored)
    for name, value in stored.items():
        if name == placeholder(value) and value in wanted.values():
            continue
        if wanted.get(name) != value:
            have = ",".join(f"{n}={v}" for n, v in stored.items())
            raise ConfError(
                f"--conf labels: {name!r} has had the value {value} since its first label and must keep it "
                f"(so far: {have}); name another --conf ledger to begin anew"
            )
    return dict(sorted(wanted.items(), key=lambda item: item[1]))


def with_label(
    stored: Mapping[str, int], values: Sequence[int], label_info: Sequence[tuple[str, int]]
) -> dict[str, int]:
    """The stored map, grown by the values of one more label.

    A value without a structure takes its name from `label_info` when that name is free, and a
    placeholder otherwise; a placeholder is replaced by a free name. Nothing else changes.
    """
    structures = dict(stored)
    owners = {value: name for name, value in stored.items()}
    names = {idx: name for name, idx in label_info}
    for value in sorted(values):
        owner = owners.get(value)
        name = names.get(value)
        if name is not None and name in structures:
            name = None
        if owner is None:
            structures[name or placeholder(value)] = value
        elif owner == placeholder(value) and name is not None:
            del structures[owner]
            structures[name] = value
    return dict(sorted(structures.items(), key=lambda item: item[1]))


def still_held(
    stored: Mapping[str, int], values: Iterable[int], named: Iterable[tuple[str, int]]
) -> dict[str, int]:
    """The stored map without structures that no label holds (`values`) or names (`named`)."""
    values, named = set(values), set(named)
    return {name: value for name, value in stored.items() if value in values or (name, value) in named}


def renamed(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, str]:
    """Old name -> new name of every value that was renamed."""
    names = {value: name for name, value in after.items()}
    return {old: names[value] for old, value in before.items() if names.get(value, old) != old}
