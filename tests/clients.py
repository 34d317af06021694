"""Clients for tests: of the local backend, or answering from a bundle alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from liteguard import LiteguardClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends import Backend

ROOT = Path(__file__).resolve().parent.parent
FAST: dict[str, Any] = {
    "refresh_rate_seconds": 0.2,
    "reload_rate_seconds": 0.05,
    "flush_rate_seconds": 0.2,
}
NUMBERS = itertools.count(1)
TOKEN = "pct-for-tests-only"  # noqa: S105  opens nothing


def rule(name: str, value: Any, *, result: bool = True) -> dict[str, Any]:
    """Return a rule that answers *result* where property *name* equals *value*."""
    return {
        "propertyName": name,
        "operator": "EQUALS",
        "values": [value],
        "result": result,
    }


def guard(name: str, **more: Any) -> dict[str, Any]:
    """Return an adopted guard in its wire form."""
    return {"name": name, "adopted": True, **more}


def offline(*guards: dict[str, Any], **more: Any) -> LiteguardClient:
    """Return a client that is not started and answers from *guards*."""
    return LiteguardClient(TOKEN, bootstrap={"guards": list(guards)}, **more)


def prepared(backend: Backend, state_dir: Path, **more: Any) -> LiteguardClient:
    """Return a client of the local backend with short rates; it is not started."""
    return LiteguardClient(**backend.options(state_dir, **{**FAST, **more}))


@contextlib.contextmanager
def running(
    backend: Backend, state_dir: Path, **more: Any
) -> Iterator[LiteguardClient]:
    """Run a client of the local backend with short rates."""
    with prepared(backend, state_dir, **more) as client:
        yield client


@contextlib.contextmanager
def program(
    code: str, backend: Backend, state_dir: Path, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """Run *code* as a program of its own, in which every warning is an error.

    It finds the local backend by its variables; its standard streams are pipes. It is
    killed at the end of the block, if it still runs.

    Args:
        code: The program. It is the main module, which its children can import.
        backend: The local backend.
        state_dir: The state folder; the program is written to a file beside it.
        arguments: What it finds in ``sys.argv``.
    """
    script = state_dir.with_name(f"program-{next(NUMBERS)}.py")
    script.write_text(code)
    rates = {f"LITEGUARD_{name.upper()}": str(rate) for name, rate in FAST.items()}
    variables = {**os.environ, **backend.variables(state_dir), **rates}
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(script), *arguments],
        env={**variables, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def active_user(client: LiteguardClient) -> Optional[Any]:
    """Return the property ``user`` of the scope that is bound here, if one is."""
    return client.get_active_scope().get_properties().get("user")
