"""Writes the table of all routes with the role that each asks for, read from the server's own: `access.md`.

python docs/contract/access.py
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from fastapi import FastAPI
from monailabel.config import settings

from scaling_app.monai_app.roles import EVERYBODY, RouteTable, table_of

PAGE = Path(__file__).parent / "access.md"
ORDER = ("GET", "HEAD", "PUT", "POST", "DELETE")
HEAD = """# Who may ask what

*Made by `make docs` from the routes that the server has, MONAI Label's own among them.*

With [a login](../../apps/scaling_app/README.md#monai-labels-login) each route asks for a role. A role contains those below it: admin, reviewer, annotator,
user. What does not stand here is refused. *none* means that no token is needed: these tell how to ask and how to log in.

| address | method | role |
|---|---|---|
"""


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(table_of(served())), encoding="utf-8")


def served() -> FastAPI:
    """A server with all routes of one before a DICOM server whose users log in."""
    from monailabel.app import app as stock
    from monailabel.endpoints import login

    from scaling_app.monai_app import watching
    from scaling_app.monai_app.dicom.studies import DicomStudies
    from scaling_app.monai_app.routes import every

    server = FastAPI(openapi_url=None)
    server.router.routes[:] = stock.router.routes
    server.include_router(login.router)
    store = object.__new__(DicomStudies)
    store.pacs = None  # type: ignore[assignment]
    stand_in = SimpleNamespace(
        studies="http://pacs",
        datastore=lambda: store,
        keeper=None,
        start_update=None,
        training=None,
        open_studies=SimpleNamespace(ledger=None, has_image=None),
    )
    before, settings.MONAI_LABEL_AUTH_ENABLE = settings.MONAI_LABEL_AUTH_ENABLE, True
    try:
        every.add_all(server, stand_in)
        every.include_first(server, watching.make_router(SimpleNamespace()))
    finally:
        settings.MONAI_LABEL_AUTH_ENABLE = before
    return server


def page(table: RouteTable) -> str:
    """The table, by address."""
    rows = sorted(
        (rule.path, ORDER.index(rule.method), rule.method, _in_words(rule.role)) for rule in table.rules
    )
    return HEAD + "".join(f"| `{path}` | {method} | {role} |\n" for path, _, method, role in rows)


def _in_words(role: str | None) -> str:
    if role is None:
        return "refused"
    return "none" if role == EVERYBODY else f"`{role}`"


if __name__ == "__main__":
    main()
