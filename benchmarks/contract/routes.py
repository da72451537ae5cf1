"""Requests of every kind to every route of a running server, made from its own description of itself."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable

BUSY = 503


@dataclass
class Asked:
    """How many were answered with which status, and what was asked when the server failed."""

    answers: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def ask_everything(base: str, *, least: int, number: int = 1) -> Asked:
    """Sends about so many requests, evenly over the routes, half of them amiss.

    Args:
        least: of requests, as far as the routes have so many kinds.
        number: others with another one.
    """
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    asked = Asked()
    each = -(-least // (2 * len(operations)))
    for operation, mode in product(operations, schemathesis.GenerationMode):

        @seed(number)
        @settings(
            max_examples=each,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):  # type: ignore[no-untyped-def]
            answer = case.call(base_url=base, timeout=60)
            asked.answers[answer.status_code] += 1
            if answer.status_code >= 500 and answer.status_code != BUSY:
                asked.failures.append(
                    f"{case.method} {case.formatted_path} {case.query} {case.body!r}"[:600]
                    + f" {answer.text[:200]}"
                )

        with suppress(Unsatisfiable):  # a route without anything that could be amiss
            ask()
    return asked
