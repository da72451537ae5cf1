"""Where the studies can be read only, every route says so, or answers as ever; nothing changes, and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults import every_route
from benchmarks.faults.full_disk import contents, read_only, small_disk
from benchmarks.faults.house import House

OF_STUDIES = (
    "/datastore/",
    "/datastore/image",
    "/datastore/image/info",
    "/datastore/label",
    "/datastore/label/info",
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server's folders, the studies on a small disk of their own."""
    try:
        disk = small_disk(tmp_path / "house" / "studies")
        disk.__enter__()
    except OSError as error:
        pytest.skip(str(error))
    made = House(tmp_path / "house")
    yield made
    made.end()
    disk.__exit__(None, None, None)


def test_on_a_read_only_disk_every_route_says_so_or_answers_and_nothing_changes(house):
    assert house.start() == ""
    session = every_route.prepare(house)
    assert house.disagreements() == []
    before = contents(house)
    with read_only(house.studies):
        requests = every_route.requests_of(house, session, model=False)
        for request in requests:
            answer = request.send(house)
            if request.needs == "room" and request.method != "GET" and request.route in OF_STUDIES:
                assert every_route.complaint(request, answer, every_route.UNABLE) == ""
            assert answer.status_code in (every_route.UNABLE, *range(500)), f"{request}: {answer.text}"
        assert contents(house) == before
    assert house.put_label(house.images[0]).status_code == 200
    assert house.lost() == [] and house.disagreements() == []
