"""What runs during the demo, from its first process to the removal of its last file."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from liteguard.demo.backend import Backend, start_backend
from liteguard.demo.server import listen, start_gunicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from liteguard.demo.display import Display
    from liteguard.demo.patience import Patience


class Stage(NamedTuple):
    """A backend that runs, and a gunicorn that has been started.

    Args:
        backend: The backend.
        address: Host and port of the application.
        started_at: When gunicorn was started, in monotonic seconds.
    """

    backend: Backend
    address: str
    started_at: float


@contextmanager
def set_stage(workers: int, display: Display, patience: Patience) -> Iterator[Stage]:
    """Start everything; at the end stop it and remove every file.

    Args:
        workers: How many workers gunicorn gets.
        display: Where to tell what happens.
        patience: Waits, and watches the processes from now on.

    Raises:
        DemoError: The backend does not come up.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="liteguard-demo-"))
        display.tell(f"starting the local backend; everything is in {folder}")
        child = stack.enter_context(start_backend(Path(folder)))
        patience.watch(child.check)
        backend = Backend(child, patience)
        display.tell(f"backend: {backend.url}, pid {child.pid}")
        with listen() as listener:
            address = "{}:{}".format(*listener.getsockname())
            gunicorn = stack.enter_context(
                start_gunicorn(Path(folder), listener, backend, workers=workers)
            )
        patience.watch(gunicorn.check)
        display.tell(
            f"gunicorn --preload with {workers} workers: http://{address}, "
            f"pid of the master {gunicorn.pid}"
        )
        yield Stage(backend, address, time.monotonic())
