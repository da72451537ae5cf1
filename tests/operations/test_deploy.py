"""The files in `deploy`, as far as a machine without a container engine can try them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from deploy.without_an_engine import REFUSED, steps
from scaling_app.commands.cli import app
from scaling_app.studies.conf import KEYS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SERVICE_KEYS = {
    "build",
    "image",
    "command",
    "environment",
    "volumes",
    "networks",
    "depends_on",
    "restart",
    "stop_grace_period",
    "read_only",
    "tmpfs",
    "cap_drop",
    "security_opt",
    "ports",
}
COMMANDS = typer.main.get_command(app).commands


def require_known(words: list[str]) -> None:
    """A command line of ours: the command, its options and conf keys exist."""
    command = COMMANDS[words[0]]
    known = {name for option in command.params for name in option.opts}
    assert {word for word in words if word.startswith("--")} <= known, words
    keys = [words[place + 1] for place, word in enumerate(words) if word == "--conf"]
    assert set(keys) <= {key.name for key in KEYS}


def said(instruction: str) -> list[str]:
    return [words for name, words in steps() if name == instruction]


def test_the_container_is_built_from_what_is_there_and_starts_our_command_as_a_user() -> None:
    for words in said("COPY"):
        *sources, goal = words.split()
        assert all((ROOT / source).exists() for source in sources) and (goal == "./" or goal in sources)
    shipped = {source for words in said("COPY") for source in words.split()[:-1]}
    assert {
        "apps/scaling_app",
        "client/scaling_app_client",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    } == shipped
    assert json.loads(said("ENTRYPOINT")[0]) == ["scaling-app"]
    require_known(json.loads(said("CMD")[0]))
    assert said("USER") == ["scaling"] and "useradd" in " ".join(said("RUN"))
    for words in said("RUN"):
        subprocess.run(["sh", "-n", "-c", words], check=True)
    extras = set(re.findall(r"\.\[([\w,]+)\]", " ".join(said("RUN")))[0].split(","))
    assert extras <= set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))


@pytest.mark.slow_server
@pytest.mark.timeout(1500)
def test_the_steps_of_the_container_make_a_server_that_answers() -> None:
    """Installed from what the Dockerfile copies, and not from this checkout, as the container's user.

    Whoever runs the script may keep new files to himself: the image's are everybody's to read all the same.
    """
    command = [sys.executable, str(DEPLOY / "without_an_engine.py"), "--offline"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, umask=0o077)
    if done.returncode == REFUSED:
        pytest.skip(done.stdout[-200:])
    assert done.returncode == 0 and "HEALTHCHECK passed" in done.stdout, done.stdout[-3000:]


def test_the_compose_file_names_what_it_has_and_opens_the_web_server_alone() -> None:
    told = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(told) <= {"name", "services", "networks", "volumes"}
    for name, service in told["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        assert set(service["networks"]) <= set(told["networks"])
        assert set(service.get("depends_on", ())) <= set(told["services"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in told["volumes"] or (DEPLOY / source).exists(), volume
        assert ("ports" in service) is (name == "web")
    assert told["networks"]["inside"] == {"internal": True}
    server = told["services"]["server"]
    assert (DEPLOY / server["build"]["context"] / server["build"]["dockerfile"]).is_file()
    require_known(server["command"])


def test_behind_the_compose_file_s_web_server_each_client_is_one_of_its_own() -> None:
    """All had the web server's address: one who tried passwords locked everybody out."""
    server = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["server"]
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append(scope["client"][0])

    proxied = ProxyHeadersMiddleware(
        app, trusted_hosts=server["environment"].get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    )
    for address in (b"10.20.0.1", b"172.18.0.9"):
        scope = {"type": "http", "client": ("172.18.0.3", 5), "headers": [(b"x-forwarded-for", address)]}
        asyncio.run(proxied(scope, None, None))
    assert seen == ["10.20.0.1", "172.18.0.9"]


@pytest.mark.skipif(shutil.which("caddy") is None, reason="Caddy is not installed")
@pytest.mark.parametrize("clients", ["10.20.0.0/16", "10.0.0.0/8 192.168.1.7/32"])
def test_caddy_takes_its_file(clients: str, tmp_path: Path) -> None:
    told = {**os.environ, "HOME": str(tmp_path), "SITE": "labels.hospital.example", "CLIENTS": clients}
    command = [
        "caddy",
        "adapt",
        "--config",
        str(DEPLOY / "Caddyfile"),
        "--adapter",
        "caddyfile",
        "--validate",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=told, timeout=60)
    assert done.returncode == 0, done.stderr
    adapted = json.loads(done.stdout)
    assert "10." in json.dumps(adapted) and "server:8000" in json.dumps(adapted)


@pytest.mark.skipif(shutil.which("caddy") is None, reason="Caddy is not installed")
def test_caddy_takes_the_file_of_the_viewer(tmp_path: Path) -> None:
    """What it does with requests is tested in `tests/dicom/test_signed_in.py`."""
    command = [
        "caddy",
        "adapt",
        "--config",
        str(DEPLOY / "ohif.Caddyfile"),
        "--adapter",
        "caddyfile",
        "--validate",
    ]
    told = {**os.environ, "HOME": str(tmp_path), "SITE": "viewer.hospital.example"}
    done = subprocess.run(command, capture_output=True, text=True, env=told, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", ["scaling-app.service", "scaling-app-backup.service"])
def test_a_unit_starts_a_command_of_ours(unit: str) -> None:
    [line] = re.findall(r"^ExecStart=(.*)", (DEPLOY / unit).read_text(), re.MULTILINE)
    words = shlex.split(line)
    words = shlex.split(words[-1].removeprefix("exec ")) if words[0] == "/bin/sh" else words
    assert Path(words[0]).name == "scaling-app"
    require_known(words[1:])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = tmp_path / "scaling-app"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for file in DEPLOY.glob("scaling-app*.*"):
        text = file.read_text().replace("/opt/scaling-app/bin/scaling-app", str(program))
        (tmp_path / file.name).write_text(text)
    units = [str(file) for file in tmp_path.glob("*.*")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "scaling-app" in line]
    assert not ours
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=30",
        str(DEPLOY / "scaling-app.service"),
    ]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
