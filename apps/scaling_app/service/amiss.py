"""What is amiss with a request that does not fit its route, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_NO_OBJECT = {"json_invalid", "dict_type", "model_attributes_type", "model_type"}
_MOST_NAMED = 5
_PLACES = {"query": "the parameter", "path": "the address's", "header": "the header", "body": "the field"}


def what_is_amiss(errors: Iterable[Mapping[str, Any]], content_type: str) -> str:
    """A sentence for what FastAPI tells as a list of places and types; of what came nothing is repeated.

    Args:
        errors: as `RequestValidationError.errors` gives them.
        content_type: the request's. FastAPI reads a body as JSON only where this says so; `curl -d` says another.
    """
    found: dict[str, None] = {}
    for error in errors:
        where, *names = error.get("loc") or ("body",)
        what = f"{_PLACES.get(where, where)} {'.'.join(map(str, names))!r}"
        if where == "body" and (not names or error.get("type") in _NO_OBJECT):
            json = "json" in content_type.lower()
            header = "" if json else ", sent with the header Content-Type: application/json"
            found[f"The body must be a JSON object{header}."] = None
        elif error.get("type") == "missing":
            found[f"{what} is missing."] = None
        else:
            found[f"{what} does not fit: {error.get('msg', '')}."] = None
    sentences = [sentence[0].upper() + sentence[1:] for sentence in list(found)[:_MOST_NAMED]]
    return " ".join(sentences) or "The request does not fit its route."
