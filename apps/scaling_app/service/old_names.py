"""Names that REST had before: one table. Each is sent beside the new one, and taken for it, while the schema is 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OLD_NAMES: Mapping[str, Mapping[str, str]] = {
    "Payload": {"doubts": "problems"},
    "Summary": {"n_doubts": "n_problems"},
    "LabelSummary": {"n_doubts": "n_problems", "doubts": "flags"},
    "NotedCase": {"doubts": "problems"},
    "CaseNote": {"confirmed": "resolved"},
}
"""Model -> its field -> what the field was called."""


def with_new_names(model: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as the model reads it: where both names came, the new one counts."""
    old = {was: name for name, was in OLD_NAMES.get(model, {}).items()}
    renamed = {name: body[was] for was, name in old.items() if was in body}
    return {**renamed, **{key: value for key, value in body.items() if key not in old}}


def with_old_names(model: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as it is sent: what has an older name comes under both."""
    names = OLD_NAMES.get(model, {})
    return {**body, **{was: body[name] for name, was in names.items() if name in body}}
