"""Runs services in namespaces of their own, each with the root that it is told to have.

That is what containers and systemd do, made of unshare(1), mount(8) and pivot_root(8).
An ordinary user is root in a namespace of users: what belongs to another user there
belongs to himself outside.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clients import ROOT
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services import Plan, Service

IS_ROOT = os.geteuid() == 0
SYSTEM = ["/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/usr"]
MARK = "SERVICE_OF_A_TEST"
PROGRAM = '#!/bin/sh\nexec /opt/venv/bin/python -m {name} "$@"\n'
NOTIFIED = "/run/notified"


class Machine:
    """A machine that runs what a plan describes.

    Args:
        folder: An empty folder.
        plan: What to run.
        image: Files of ``/opt/shop``, by name.
        variables: What the image brings to each environment.
        default: The image's own command.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        *,
        image: Mapping[str, str],
        variables: Mapping[str, str],
        default: list[str],
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._variables = variables
        self._default = default
        self._log = folder / "log"
        self._ready: dict[str, socket.socket] = {}
        shop = folder / "shop"
        (shop / "bin").mkdir(parents=True)
        (shop / "liteguard").mkdir()
        for name, text in image.items():
            (shop / name).write_text(text)
        for name in ("gunicorn", "celery"):
            (shop / "bin" / name).write_text(PROGRAM.format(name=name))
            (shop / "bin" / name).chmod(0o755)
        rights = [] if IS_ROOT else ["--map-root-user"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", *rights, "--mount", "bash", "-ec", self._script()],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        """Return what the services printed."""
        return self._log.read_text()

    def main_process(self, name: str) -> int:
        """Return the pid, out here, of a service's process 1, once it runs."""
        until(lambda: self._has_ended() or self._first(name), self.log)
        found = self._first(name)
        assert found is not None, self.log()
        return found

    def wait_until_ready(self, name: str) -> None:
        """Wait until a service says so to systemd."""
        told = [b""]

        def is_ready() -> bool:
            with contextlib.suppress(BlockingIOError):
                told[0] += self._ready[name].recv(4096)
            return b"READY=1" in told[0]

        until(is_ready, self.log)

    def reload(self, name: str) -> None:
        """Run the command that makes a service begin anew."""
        main = {"MAINPID": str(self.main_process(name))}
        subprocess.run(
            ["sh", "-c", self._plan.services[name].reload], env=main, check=True
        )

    def stop(self) -> list[str]:
        """End all services as they are to be ended; return which had to be killed."""
        for name in self._plan.services:
            os.kill(self.main_process(name), signal.SIGTERM)
        longest = max(s.stop_seconds for s in self._plan.services.values())
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(longest)
        return [name for name in self._plan.services if self._first(name)]

    def kill(self) -> None:
        """End whatever still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for each in self._ready.values():
            each.close()

    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def _first(self, name: str) -> int | None:
        mark = f"{MARK}={self._folder}-{name}\0".encode()
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                numbers = re.search(r"^NSpid:.*\s1$", status.read_text(), re.MULTILINE)
                if numbers and mark in (status.parent / "environ").read_bytes():
                    return int(status.parent.name)
        return None

    def _script(self) -> str:
        lines = []
        for name, options in self._plan.volumes.items():
            path = self._folder / "volumes" / name
            lines += [f"mkdir -p {path}", _tmpfs(path, options)]
        for name, service in self._plan.services.items():
            script = self._folder / f"{name}.sh"
            script.write_text("\n".join(self._root_of(name, service)))
            own = "--mount --pid --fork --kill-child --mount-proc"
            lines += [f"unshare {own} bash -e {script} &"]
        return "\n".join([*lines, "wait"])

    def _root_of(self, name: str, service: Service) -> Iterator[str]:
        root = self._folder / f"root-{name}"
        yield f"mkdir {root}"
        yield _tmpfs(root, "mode=755")
        yield f"install -d -m 1777 {root}/tmp"  # noqa: S108  a path in there
        base = Path(sys.base_prefix)
        if base.name == "usr":
            base = base.parent  # its libraries may lie beside it
        places = {place: place for place in SYSTEM if Path(place).exists()}
        if base != Path("/") and not base.is_relative_to("/usr"):
            places[str(base)] = str(base)
        places[sys.prefix] = "/opt/venv"
        places[str(self._folder / "shop")] = "/opt/shop"
        places[str(ROOT / "liteguard")] = "/opt/shop/liteguard"
        for path, volume in service.mounts.items():
            places[str(self._folder / "volumes" / volume)] = path
        # What lies within another place is mounted after that.
        for source, target in sorted(places.items(), key=lambda place: place[1]):
            if Path(source).is_symlink():
                yield f"cp -P {source} {root}{target}"
            else:
                yield f"mkdir -p {root}{target}"
                yield f"mount --rbind {source} {root}{target}"
        variables = self._variables_of(name, service)
        if service.is_ready_when_it_says:
            yield f"mkdir -p {root}/run && mkdir {root}/run/host"
            yield f"mount --bind {self._notified(name)} {root}/run/host"
        yield f"cd {root}"
        yield "mkdir outside"
        yield "pivot_root . outside"
        yield "umount -l /outside"
        if service.is_read_only:
            yield "mount -o remount,bind,ro /opt/shop"
            yield "mount -o remount,bind,ro /"
        settings = [f"{key}={value}" for key, value in variables.items()]
        command = service.command or self._default
        run = ["env", "-i", "-C", service.folder, *settings, *command]
        yield f"exec {shlex.join([*_as_user(service), *run])}"

    def _variables_of(self, name: str, service: Service) -> dict[str, str]:
        notified = {"NOTIFY_SOCKET": "/run/host/socket"}
        return {
            "PATH": "/opt/shop/bin:/usr/bin:/bin",
            **self._variables,
            **(notified if service.is_ready_when_it_says else {}),
            **service.environment,
            MARK: f"{self._folder}-{name}",
        }

    def _notified(self, name: str) -> Path:
        folder = self._folder / f"notified-{name}"
        folder.mkdir()
        self._ready[name] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ready[name].settimeout(0.0)
        place = os.open(folder, os.O_PATH)  # the path may be too long for a socket
        self._ready[name].bind(f"/proc/self/fd/{place}/socket")
        os.close(place)
        (folder / "socket").chmod(0o777)
        return folder


def _tmpfs(path: Path, options: str) -> str:
    if not IS_ROOT:
        # He is the only one there is, whatever his number will be.
        options = re.sub(r"(^|,)[ug]id=\d+", "", options)
    return f"mount -t tmpfs -o {options} none {path}"


def _as_user(service: Service) -> list[str]:
    rights = [] if service.may_gain_rights else ["--no-new-privs"]
    if IS_ROOT:
        groups = ["--groups", ",".join(map(str, service.groups))]
        groups = groups if service.groups else ["--clear-groups"]
        numbers = ["--reuid", str(service.user), "--regid", str(service.group)]
        return ["setpriv", *numbers, *groups, *rights]
    numbers = [f"--map-user={service.user}", f"--map-group={service.group}"]
    return ["unshare", "--user", *numbers, "setpriv", *rights]


@contextlib.contextmanager
def running(machine: Machine) -> Iterator[Machine]:
    """Leave nothing running."""
    try:
        yield machine
    finally:
        machine.kill()
