"""What files for Compose, Kubernetes and systemd say of a service, to the last key.

A key that is not known here is a mistake of the file or a part of it that nobody would
try out: it raises ``KeyError``.
"""

from __future__ import annotations

import configparser
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

DYNAMIC_USER = 61_500
"""One of those that systemd takes."""

STATE = "/var/lib"
# What a unit says to people, to the rest of the machine, or of what is not tried here.
UNTRIED = {
    "Unit": {"Description", "Wants", "After"},
    "Service": {"Restart"},
    "Install": {"WantedBy"},
}


@dataclass
class Service:
    """One service.

    Args:
        command: What process 1 is; empty for the image's own.
        environment: Variables.
        user: Number of its user.
        group: Number of its group.
        groups: Further groups.
        is_read_only: Whether the root cannot be written, whoever asks.
        may_gain_rights: Whether a program of root's makes it root.
        mounts: By path, the name of a volume.
        stop_seconds: How long it may take to end.
        folder: Where it runs.
        is_ready_when_it_says: Whether it tells systemd when it is ready.
        reload: The command that makes it begin anew.
    """

    command: list[str]
    environment: dict[str, str]
    user: int
    group: int
    mounts: dict[str, str]
    stop_seconds: float
    groups: list[int] = field(default_factory=list)
    is_read_only: bool = False
    may_gain_rights: bool = True
    folder: str = "/opt/shop"
    is_ready_when_it_says: bool = False
    reload: str = ""


@dataclass
class Plan:
    """What a file describes.

    Args:
        services: By name.
        volumes: By name, the options of each one's mount as a tmpfs.
    """

    services: dict[str, Service]
    volumes: dict[str, str]


def of_compose(text: str, given: Mapping[str, str]) -> Plan:
    """Read a Compose file.

    Args:
        text: The file.
        given: Variables of the shell that starts it.
    """
    document = yaml.safe_load(text)
    volumes = {
        name: volume.pop("driver_opts")["o"]
        for name, volume in document.pop("volumes", {}).items()
    }
    services = {}
    for name, told in document.pop("services").items():
        keys = dict(told)
        assert keys.pop("image") == "shop"
        user, group = keys.pop("user").split(":")
        mounts = {path: name for name, path in map(_pair, keys.pop("volumes", []))}
        for path, options in map(_pair, keys.pop("tmpfs", [])):
            mounts[path] = f"{name}{path}".replace("/", "-")
            volumes[mounts[path]] = options
        services[name] = Service(
            command=shlex.split(keys.pop("command", "")),
            environment={
                key: _filled_in(value, given)
                for key, value in keys.pop("environment").items()
            },
            user=int(user),
            group=int(group),
            is_read_only=keys.pop("read_only", False),
            mounts=mounts,
            stop_seconds=float(keys.pop("stop_grace_period", "10s").rstrip("s")),
        )
        _nothing_is_left(keys)
    _nothing_is_left(document)
    return Plan(services, volumes)


def of_pod(text: str, secrets: Mapping[tuple[str, str], str]) -> Plan:
    """Read a pod.

    Args:
        text: The file.
        secrets: By name and key.
    """
    document = yaml.safe_load(text)
    assert (document.pop("apiVersion"), document.pop("kind")) == ("v1", "Pod")
    document.pop("metadata")
    spec = document.pop("spec")
    common = spec.pop("securityContext")
    user, group = common.pop("runAsUser"), common.pop("fsGroup")
    assert common.pop("runAsNonRoot") is bool(user)
    volumes = {v.pop("name"): _empty_dir(v, group) for v in spec.pop("volumes")}
    seconds = spec.pop("terminationGracePeriodSeconds")
    services = {}
    for keys in spec.pop("containers"):
        own = keys.pop("securityContext")
        assert keys.pop("image") == "shop"
        services[keys.pop("name")] = Service(
            command=keys.pop("args"),
            environment=dict(_variable(v, secrets) for v in keys.pop("env")),
            user=user,
            group=0,
            groups=[group],
            is_read_only=own.pop("readOnlyRootFilesystem"),
            may_gain_rights=own.pop("allowPrivilegeEscalation"),
            mounts={m["mountPath"]: m["name"] for m in keys.pop("volumeMounts")},
            stop_seconds=float(seconds),
        )
        _nothing_is_left(keys, own)
    _nothing_is_left(document, spec, common)
    return Plan(services, volumes)


def of_unit(text: str, files: Mapping[str, str]) -> Plan:
    """Read a unit of systemd.

    Args:
        text: The file.
        files: Files that root alone can read, by path.
    """
    parser = _Keys(strict=True, delimiters=("=",))
    parser.read_string(text)
    keys = {
        key: value
        for section in parser.sections()
        for key, value in parser[section].items()
        if key not in UNTRIED[section]
    }
    assert keys.pop("DynamicUser") == keys.pop("PrivateTmp") == "yes"
    assert keys.pop("KillMode") == "mixed"
    state = f"{STATE}/{keys.pop('StateDirectory')}"
    given = keys.pop("Environment").replace("%S", STATE)
    settings = shlex.split(given) + files[keys.pop("EnvironmentFile")].splitlines()
    service = Service(
        command=shlex.split(keys.pop("ExecStart")),
        environment=dict(setting.split("=", 1) for setting in settings),
        user=DYNAMIC_USER,
        group=DYNAMIC_USER,
        is_read_only=keys.pop("ProtectSystem") == "strict",
        may_gain_rights=keys.pop("NoNewPrivileges") != "yes",
        mounts={state: "state", "/tmp": "private"},  # noqa: S108  systemd's, not ours
        stop_seconds=float(keys.pop("TimeoutStopSec")),
        folder=keys.pop("WorkingDirectory"),
        is_ready_when_it_says=keys.pop("Type") == "notify",
        reload=keys.pop("ExecReload"),
    )
    _nothing_is_left(keys)
    owner = f"mode=0755,uid={DYNAMIC_USER},gid={DYNAMIC_USER}"
    return Plan({"shop": service}, {"state": owner, "private": "mode=1777"})


class _Keys(configparser.RawConfigParser):
    """Leaves keys as they are written."""

    def optionxform(self, optionstr: str) -> str:
        """Return the key."""
        return optionstr


def _pair(text: str) -> tuple[str, str]:
    name, _, rest = text.partition(":")
    return name, rest


def _filled_in(value: str, given: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+):\?\}", lambda match: given[match[1]], value)


def _variable(
    told: dict[str, Any], secrets: Mapping[tuple[str, str], str]
) -> tuple[str, str]:
    reference = told["valueFrom"]["secretKeyRef"]
    return told["name"], secrets[reference["name"], reference["key"]]


def _empty_dir(volume: dict[str, Any], group: int) -> str:
    told = volume.pop("emptyDir")
    assert told.pop("medium") == "Memory"
    size = told.pop("sizeLimit").replace("Mi", "m")
    _nothing_is_left(volume, told)
    return f"size={size},mode=2777,gid={group}"


def _nothing_is_left(*keys: Mapping[str, Any]) -> None:
    for each in keys:
        if each:
            raise KeyError(f"nobody tries out {', '.join(each)}")
