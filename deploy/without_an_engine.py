"""The Dockerfile's steps on a machine without a container engine, word for word, and the server that they make.

    sudo .venv/bin/python deploy/without_an_engine.py

The steps run in a copy of this machine's file system that lies over it and is gone at the end: nothing outside changes.
This very Python stands in for the image named by FROM; packages that it has are not fetched again. Then the server starts as the
container's user, in a network of its own, until the Dockerfile's HEALTHCHECK passes. Ends with 0 when it does, and with 77 where the machine does
not let it begin.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ABOVE = Path(__file__).resolve().parents[1]
DOCKERFILE = ABOVE / "deploy" / "Dockerfile"
START_SECONDS, END_SECONDS = 1200, 300
REFUSED = 77
"""The exit status where the machine does not let this program begin."""

CLONE_NEWNET, SIOCSIFFLAGS, UP_AND_RUNNING = 0x40000000, 0x8914, 0x1 | 0x40


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its words."""
    lines = (
        line.strip() for line in DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    )
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


class Root:
    """The file system in which steps run.

    Args:
        path: where it is mounted.
        offline: what apt-get would install has to be there, and pip fetches nothing to build with.
    """

    def __init__(self, path: Path, offline: bool) -> None:
        self.path, self.offline = path, offline
        self.user, self.folder = "root", "/"
        python = str(Path(sys.executable).parent)
        self.environment = {"PATH": f"{python}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.told: dict[str, list[str]] = {}

    def take(self, instruction: str, words: str) -> None:
        """Carries out one instruction."""
        if instruction == "FROM":
            self._let_everybody_read_python()
        elif instruction == "WORKDIR":
            self.folder = words
            self._inside(words).mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            *sources, goal = words.split()
            for source in sources:
                self._copy(ABOVE / source, self._inside(f"{self.folder}/{goal}"), whole=goal == source)
        elif instruction == "RUN":
            self._run(words)
        elif instruction == "USER":
            self.user = words
        elif instruction == "ENV":
            self.environment |= dict(word.split("=", 1) for word in shlex.split(words))
        elif instruction in ("ENTRYPOINT", "CMD"):
            self.told[instruction] = json.loads(words)
        elif instruction == "HEALTHCHECK":
            self.told[instruction] = json.loads(words.partition("CMD ")[2])
        elif instruction not in ("VOLUME", "EXPOSE"):
            raise SystemExit(f"{DOCKERFILE.name}: {instruction} is not known here")

    def command(self, words: Sequence[str], **more: str) -> list[str]:
        """A command line that carries these words out as the present user, and nothing of this environment."""
        told = [f"{name}={value}" for name, value in {**self.environment, **more}.items()]
        return ["chroot", f"--userspec={self.user}", str(self.path), "env", "-i", *told,
                "sh", "-c", f"cd {self.folder} && exec {shlex.join(words)}"]  # fmt: skip

    def _inside(self, path: str) -> Path:
        return self.path / path.lstrip("/")

    def _let_everybody_read_python(self) -> None:
        """An image's Python is everybody's to read; this one may have been installed under a strict umask."""
        places = [Path(sys.prefix), Path(sys.base_prefix)]
        for folder in {parent for place in places for parent in place.parents}:
            inside = self._inside(str(folder))
            inside.chmod(inside.stat().st_mode | 0o055)
        closed = "( -type d ! -perm -055 -o -type f ! -perm -044 -o -type f -perm -100 ! -perm -011 )"
        found = ["find", *(str(self._inside(str(place))) for place in places), *closed.split()]
        subprocess.run([*found, "-exec", "chmod", "go+rX", "{}", "+"], check=True)

    def _copy(self, source: Path, goal: Path, *, whole: bool) -> None:
        if source.is_dir():
            shutil.copytree(source, goal, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            goal = goal if whole else goal / source.name
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, goal)

    def _run(self, words: str) -> None:
        more: Mapping[str, str] = {}
        if self.offline and words.startswith("apt-get"):
            packages = words.partition("install ")[2].partition("&&")[0].split()
            words = f"dpkg -s {shlex.join(word for word in packages if not word.startswith('-'))} > /dev/null"
            if subprocess.run(self.command(["sh", "-ec", words])).returncode:
                refuse("not all packages that the Dockerfile installs are here")
        elif self.offline:
            more = {"PIP_NO_BUILD_ISOLATION": "false", "PIP_NO_INDEX": "1"}
        print(f"RUN {words}", flush=True)
        if status := subprocess.run(self.command(["sh", "-ec", words], **more)).returncode:
            raise SystemExit(f"{DOCKERFILE.name}: a step ended with {status}: RUN {words}")


def build_and_serve(root: Root) -> None:
    """All steps, then the server until it is well."""
    for instruction, words in steps():
        root.take(instruction, words)
    leave_the_network()
    server = subprocess.Popen(root.command([*root.told["ENTRYPOINT"], *root.told["CMD"]]))
    until = time.monotonic() + START_SECONDS
    while subprocess.run(root.command(root.told["HEALTHCHECK"])).returncode:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        if time.monotonic() > until:
            raise SystemExit(f"the server was not well after {START_SECONDS} s")
        time.sleep(2)
    print("HEALTHCHECK passed", flush=True)
    server.terminate()
    raise SystemExit(server.wait(END_SECONDS))


def leave_the_network() -> None:
    """This process and what it starts have a network of their own from now on: nobody reaches the server."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        refuse("no network of its own can be made here")
    with socket.socket() as one:
        fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))


def inside(offline: bool) -> None:
    """In the namespaces: mounts what the steps see, and takes them."""
    if {Path(place).stat().st_dev for place in (sys.prefix, sys.base_prefix, "/")} != {
        Path("/").stat().st_dev
    }:
        refuse(f"{sys.prefix} and its Python have to lie on the file system of /")
    os.umask(0o022)  # that of an engine's steps
    with tempfile.TemporaryDirectory(prefix="without-an-engine-") as folder:
        above = Path(folder)
        mount("-t", "tmpfs", "tmpfs", folder)
        places = [above / name for name in ("changed", "work", "root")]
        for place in places:
            place.mkdir()
        changed, work, root = map(str, places)
        # a file whose mode alone changes is not copied: PyTorch's are large
        told = f"lowerdir=/,upperdir={changed},workdir={work},metacopy=on"
        mount("-t", "overlay", "overlay", "-o", told, root)
        mount("-t", "proc", "proc", f"{root}/proc")
        mount("--rbind", "/dev", f"{root}/dev")
        try:
            build_and_serve(Root(Path(root), offline))
        finally:
            subprocess.run(["umount", "--recursive", "--lazy", folder])


def mount(*words: str) -> None:
    """Mounts, or ends with what `mount` says: it takes root, and a kernel that lets one."""
    if subprocess.run(["mount", *words]).returncode:
        refuse(f"nothing can be mounted here: mount {shlex.join(words)}")


def refuse(why: str) -> NoReturn:
    """Ends with what the machine lacks."""
    print(why, flush=True)
    raise SystemExit(REFUSED)


def main() -> int:
    """Makes the namespaces, in which this very program goes on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--offline",
        action="store_true",
        help="fetch nothing: all packages, and hatchling to build with, are installed here",
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.offline)
    if os.getuid() != 0:
        refuse("run it as root: it mounts a copy of the file system")
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if shutil.which(spaces[0]) is None or subprocess.run([*spaces, "true"]).returncode:
        refuse("no namespaces can be made here")
    again = [sys.executable, __file__, "--inside", *sys.argv[1:]]
    return subprocess.run([*spaces, *again]).returncode


if __name__ == "__main__":
    raise SystemExit(main())
