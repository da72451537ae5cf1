"""On a full disk every route says so, or answers as ever; nothing changes, and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.routing import APIRoute

from benchmarks.faults import every_route
from benchmarks.faults.full_disk import contents, fill, small_disk, told
from benchmarks.faults.house import House
from scaling_app.monai_app.routes import every
from scaling_app.service.routes import make_router


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server's folders, on a small disk of their own."""
    try:
        disk = small_disk(tmp_path / "disk")
        folder = disk.__enter__()
    except OSError as error:
        pytest.skip(str(error))
    made = House(folder)
    yield made
    made.end()
    disk.__exit__(None, None, None)


def served_routes() -> set[tuple[str, str]]:
    """Method and address of every route, also of those that no description lists."""
    from monailabel.app import app as stock

    rules = dict.fromkeys(("start_update", "has_image", "user", "annotator", "admin"), lambda: None)
    ours = every.make_router(SimpleNamespace(studies="folder")).routes
    ours += make_router(SimpleNamespace(), SimpleNamespace(), **rules).routes
    all_routes = [route for route in (*stock.routes, *ours) if isinstance(route, APIRoute)]
    return {(method, route.path) for route in all_routes for method in route.methods}


def test_no_route_is_forgotten(tmp_path: Path):
    made = House(tmp_path / "house")
    asked = {(request.method, request.route) for request in every_route.requests_of(made, "x")}
    made.end()
    others = {(method, path) for method, path in served_routes() - asked if path != "/auth/token"}
    assert not others, f"every_route.py asks nothing of {sorted(others)}"


def test_on_a_full_disk_every_route_says_so_or_answers_and_nothing_changes(house):
    assert house.start() == ""
    session = every_route.prepare(house)
    assert house.disagreements() == []
    before, said = contents(house), told(house)
    ballast = fill(house.folder)
    requests = every_route.requests_of(house, session, model=False)
    complaints = [every_route.complaint(r, r.send(house), every_route.NO_ROOM) for r in requests]
    assert [complaint for complaint in complaints if complaint] == []
    assert contents(house) == before and told(house) == said
    ballast.unlink()
    assert house.put_label(house.images[0]).status_code == 200
    assert house.lost() == [] and house.disagreements() == []
