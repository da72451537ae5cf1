"""Ports for servers that start on one machine at the same time."""

from __future__ import annotations

import socket
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from scaling_app.commands.launch import free_port


def ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def test_no_port_is_given_twice_and_a_server_can_take_it() -> None:
    """Two servers that were given one port: the second ended, and its users reached the first."""
    with ProcessPoolExecutor(2, get_context("fork")) as processes:
        given = [port for some in processes.map(ports, [1500, 1500]) for port in some]
    assert len(set(given)) == len(given)
    with socket.create_server(("127.0.0.1", given[0])):  # it sets what servers set
        pass
