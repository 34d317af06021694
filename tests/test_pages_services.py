"""The services that the page on containers shows run as its files say, and work.

Each runs for real, in namespaces of its own: with the command, environment, user,
mounts, root and time to end that the printed file names, and with no others.
"""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Callable

import pytest

from machines import IS_ROOT, Machine, running
from pages import AS_ROOT, BLOCKS
from ports import free_port
from recording import RecordingServer
from services import DYNAMIC_USER, Plan, Service, of_compose, of_pod, of_unit
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

PAGE = "docs/containers.md"
TOKEN = "pct-of-a-page"  # noqa: S105  no token of anybody
OPEN = {"name": "checkout.new", "adopted": True, "defaultValue": True}
PORT = "8000"
# The page says so of this option.
UNKNOWN = "--no-control-socket" if int(version("gunicorn").split(".")[0]) < 25 else ""
DEFAULT = "gunicorn --workers 2 --bind 0.0.0.0:8000 shop:app"
CLIENT = """
from liteguard import LiteguardClient

client = LiteguardClient(refresh_rate_seconds=3600, flush_rate_seconds=0.2)
client.start()
"""
SHOP = f"""
import json, os
{CLIENT}

def app(environ, start_response):
    is_open = client.is_open("checkout.new")
    told = {{
        "pid": os.getpid(), "user": os.getuid(), "role": client.status().role,
        "folder": client.status().state_dir, "is_open": is_open,
        "is_read_only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
        "may_gain_rights": "NoNewPrivs:\\t0" in open("/proc/self/status").read(),
    }}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
"""
TASKS = f"""
from celery import Celery
from celery.signals import worker_process_init
{CLIENT}
app = Celery("tasks", broker="memory://")


@worker_process_init.connect
def check(**_):
    client.is_open("checkout.new", properties={{"place": "celery"}})
"""


def printed(file: str) -> str:
    """Return what the page prints as *file*."""
    (code,) = (b.code for b in BLOCKS if (b.page, b.file) == (PAGE, file))
    return code


def compose(file: str) -> Callable[[], Plan]:
    """Return what reads a Compose file of the page."""
    return lambda: of_compose(printed(file), {"LITEGUARD_TOKEN": TOKEN})


def pod() -> Plan:
    """Read the page's pod."""
    return of_pod(printed("pod.yaml"), {("liteguard", "token"): TOKEN})


def unit() -> Plan:
    """Read the page's unit."""
    files = {"/etc/shop/liteguard.env": f"LITEGUARD_TOKEN={TOKEN}\n"}
    return of_unit(printed("shop.service"), files)


class Running:
    """A plan that runs, beside a backend.

    Args:
        plan: The plan.
        server: The backend.
        folder: An empty folder.
    """

    def __init__(self, plan: Plan, server: RecordingServer, folder: Path) -> None:
        self.server = server
        self.checks = 0
        port = str(free_port())
        self._url = f"http://127.0.0.1:{port}/"
        for service in plan.services.values():
            service.command = [
                word.replace(PORT, port) for word in service.command if word != UNKNOWN
            ]
        self.machine = Machine(
            folder,
            plan,
            image={"app.py": SHOP, "shop.py": SHOP, "tasks.py": TASKS},
            variables={
                "LITEGUARD_BACKEND_URL": server.url,
                "LITEGUARD_TOKEN": TOKEN,
                "GUNICORN_CMD_ARGS": f"--bind 0.0.0.0:{port}",
            },
            default=DEFAULT.replace(PORT, port).split(),
        )

    def ask(self) -> Any:
        """Make a request; return the answer, or nothing if nobody listens yet."""
        try:
            with urllib.request.urlopen(self._url) as answer:  # noqa: S310  loopback
                self.checks += 1
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            return None

    def meet(self, workers: int) -> dict[int, Any]:
        """Ask until so many workers have answered; return the last answer of each."""
        met: dict[int, Any] = {}

        def are_met() -> bool:
            answer = self.ask()
            if answer:
                met[answer["pid"]] = answer
            return len(met) == workers

        until(are_met, self.machine.log)
        return met

    def signals(self, place: str = "") -> list[Any]:
        """Return the signals that have arrived, of some place or of all."""
        return [
            signal
            for request in self.server.to("signals")
            for signal in request.document["signals"]
            if not place or signal.get("properties", {}).get("place") == place
        ]

    def end_well(self) -> None:
        """End in the time that the file gives, all delivered, without a complaint."""
        assert self.machine.stop() == [], self.machine.log()
        ids = self.server.ids()
        assert len(ids) == len(set(ids)) >= self.checks
        assert "liteguard: " not in self.machine.log(), self.machine.log()
        assert {r.headers["authorization"] for r in self.server.requests} == {
            f"Bearer {TOKEN}"
        }


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Plan], Running]]:
    """Return what runs a plan."""
    with contextlib.ExitStack() as stack:

        def start(plan: Plan) -> Running:
            server = stack.enter_context(RecordingServer(dict(OPEN)))
            found = Running(plan, server, tmp_path)
            stack.enter_context(running(found.machine))
            return found

        yield start


@pytest.mark.parametrize(
    ("read", "user", "folder", "may_gain_rights"),
    [
        (compose("compose.yaml"), 10001, "/tmp/liteguard-10001/", True),  # noqa: S108
        (pod, 10001, "/tmp/liteguard-10001/", False),  # noqa: S108  a container's
        (unit, DYNAMIC_USER, "/var/lib/shop/liteguard/", False),
    ],
    ids=["compose", "pod", "unit"],
)
def test_service_runs_as_its_file_says(
    run: Callable[[Plan], Running],
    read: Callable[[], Plan],
    user: int,
    folder: str,
    *,
    may_gain_rights: bool,
) -> None:
    """Its workers share one folder and one poller, and lose nothing at the end."""
    shop = run(read())
    workers = shop.meet(4).values()
    assert {worker["user"] for worker in workers} == {user}
    assert {worker["is_open"] for worker in workers} == {True}
    assert {worker["is_read_only"] for worker in workers} == {True}
    assert {worker["may_gain_rights"] for worker in workers} == {may_gain_rights}
    (place,) = {worker["folder"] for worker in workers}
    assert place.startswith(folder)
    assert len(shop.server.to("guards")) == 1
    until(lambda: "leader" in {each["role"] for each in shop.meet(4).values()})
    shop.end_well()


def test_containers_that_mount_one_volume_are_one_host(
    run: Callable[[Plan], Running],
) -> None:
    """Web server and Celery worker ask once together."""
    shop = run(compose("shared.yaml")())
    workers = shop.meet(2).values()
    assert {worker["user"] for worker in workers} == {10001}
    assert {worker["folder"].rpartition("/")[0] for worker in workers} == {
        "/run/liteguard"
    }
    until(lambda: shop.signals("celery"), shop.machine.log)
    assert len(shop.server.to("guards")) == 1
    shop.end_well()


def test_unit_tells_when_it_is_ready_and_begins_anew_when_told(
    run: Callable[[Plan], Running],
) -> None:
    """``Type=notify`` and ``ExecReload=`` are right for this server."""
    shop = run(unit())
    shop.machine.wait_until_ready("shop")
    first = set(shop.meet(4))
    shop.machine.reload("shop")
    until(lambda: (answer := shop.ask()) and answer["pid"] not in first)
    shop.end_well()


if IS_ROOT:  # an ordinary user is alone in his namespace

    def test_folder_is_made_for_the_workers_of_a_master_that_is_root(
        run: Callable[[Plan], Running],
    ) -> None:
        """What the page on gunicorn tells root to do serves all of them."""
        (block,) = AS_ROOT
        (install, _), (start, _) = block.commands
        command = ["sh", "-ec", f"{install}\nexec env {start}"]
        plan = Plan({"app": Service(command, {}, 0, 0, {}, 30.0)}, {})
        app = run(plan)
        until(app.ask, app.machine.log)
        app.end_well()


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("read_only: true", "read_onlly: true"),
        ("stop_grace_period: 35s", "stop_grace_period: 35s\n    shm_size: 1m"),
    ],
)
def test_what_nobody_tries_out_is_a_mistake(written: str, instead: str) -> None:
    """A key that is not run here does not stay unnoticed."""
    text = printed("compose.yaml").replace(written, instead)
    with pytest.raises(KeyError, match="nobody tries out"):
        of_compose(text, {"LITEGUARD_TOKEN": TOKEN})
