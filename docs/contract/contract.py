"""Writes the contract of REST from its models: `schema.json` for programs and their tests, `fields.md` for people.

    python docs/contract/contract.py [--out docs/contract]

The models are those of `scaling_app.service`: what they send, and of a request's body what they take.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from scaling_app.service.answers import CONTRACT, CaseNote

HERE = Path(__file__).parent
TAKEN = (CaseNote,)
HEAD = """# The contract, field by field

*Made by `make docs` from the models in `apps/scaling_app/service`; [`schema.json`](schema.json) is the same for programs.*

Dice lies in [0, 1], minutes are minutes, sizes are numbers of training cases. A number is finite or null. Fields may be added;
none is renamed or taken away while `schema` is 1. What stands as *was* is an older name, sent and taken beside the new one.
"""


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE)
    out = parser.parse_args().out
    made = schema()
    (out / "schema.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "fields.md").write_text(page(made["$defs"]), encoding="utf-8")


def schema() -> dict[str, Any]:
    """One JSON schema with a definition per model."""
    wanted = [(model, "validation" if model in TAKEN else "serialization") for model in CONTRACT]
    _, made = models_json_schema(wanted, title="Scaling App: what REST sends and takes")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def page(definitions: dict[str, dict[str, Any]]) -> str:
    """The tables, the whole answers first."""
    whole = [model.__name__ for model in CONTRACT]
    parts = [HEAD]
    for name in [*whole, *sorted(set(definitions) - set(whole))]:
        rows = [
            f"| `{field}` | {_type_of(what)} | {_meaning(what)} |"
            for field, what in definitions[name]["properties"].items()
        ]
        said = definitions[name].get("description", "").replace("\n", " ")
        parts += [f"## {name}\n", f"{said}\n", "| field | type | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(parts)


def _type_of(what: dict[str, Any]) -> str:
    if "$ref" in what:
        name = what["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in what:
        return " or ".join(_type_of(one) for one in what["anyOf"])
    if "enum" in what:
        return ", ".join(f"`{value}`" for value in what["enum"])
    if what["type"] == "array":
        return f"list of {_type_of(what['items'])}"
    return str(what["type"])


def _meaning(what: dict[str, Any]) -> str:
    said = what.get("description", "")
    return f"*was*: {said[0].lower()}{said[1:]}" if what.get("deprecated") else said


if __name__ == "__main__":
    main()
