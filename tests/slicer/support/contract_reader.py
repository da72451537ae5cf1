"""A `JsonReader` that reads the contract's schema instead of an answer: what it is asked for must be there, with that type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "contract" / "schema.json").read_text("utf-8"))


def node(model: str) -> dict[str, Any]:
    """A model of the contract, as an answer to read."""
    return {"$ref": f"#/$defs/{model}"}


class SchemaReader:
    """Answers every question with a value that the schema allows.

    Raises:
        AssertionError: a field that the contract does not have, or has with another type.
    """

    def __init__(self, data: dict[str, Any], where: str = "answer") -> None:
        self._where = where
        self._fields = SCHEMA["$defs"][data["$ref"].rsplit("/", 1)[1]]["properties"]

    def _kinds(self, name: str) -> list[dict[str, Any]]:
        assert name in self._fields, f"{self._where}.{name} is not in the contract"
        field = self._fields[name]
        return [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]

    def _expect(self, name: str, *types: str) -> dict[str, Any]:
        (kind,) = self._kinds(name)
        found = kind.get("type", "object" if "$ref" in kind else None)
        assert found in types, f"{self._where}.{name} is {found} in the contract, not {' or '.join(types)}"
        return kind

    def has(self, name: str) -> bool:
        return bool(self._kinds(name))

    def number(self, name: str, low: float = 0, high: float = 1) -> float:
        self._expect(name, "number", "integer")
        return float(max(low, min(high, 0.5)))

    def integer(self, name: str, low: float = 0) -> int:
        self._expect(name, "integer")
        return int(max(low, 1))

    def text(self, name: str) -> str:
        self._expect(name, "string")
        return f"a {name}"

    def boolean(self, name: str) -> bool:
        self._expect(name, "boolean")
        return True

    def choice(self, name: str, options: Sequence[str]) -> str:
        offered = self._expect(name, "string")["enum"]
        assert set(offered) == set(options), f"{self._where}.{name} is one of {offered} in the contract"
        return options[0]

    def child(self, name: str) -> SchemaReader:
        return SchemaReader(self._expect(name, "object"), f"{self._where}.{name}")

    def children(self, name: str) -> Iterator[SchemaReader]:
        yield SchemaReader(self._expect(name, "array")["items"], f"{self._where}.{name}[]")
