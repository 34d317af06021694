"""Request bodies: compressed, broken and too large."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from liteguard.devserver.bodies import (
    MAX_DECODED_BYTES,
    MAX_RECEIVED_BYTES,
    BodyRefusedError,
    decode,
)
from wireclient import CALLS, WireClient, signal

if TYPE_CHECKING:
    from backends import Backend


@pytest.fixture
def client(backend: Backend) -> WireClient:
    """Return a client of this test's environment."""
    return WireClient(backend)


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_gzipped_bodies_are_read(
    client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """Content-Encoding: gzip works on each call."""
    assert client.call_gzipped(path, content).status_code == 200


def test_gzipped_signals_are_stored(backend: Backend, client: WireClient) -> None:
    """A compressed batch arrives whole."""
    assert client.call_gzipped(
        "signals", {"signals": [signal("s1"), signal("s2")]}
    ).json() == {"accepted": True}
    assert backend.signal_summary()["distinct"] == 2


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"no gzip", "gzip", 400),
        (gzip.compress(b"{}" * 100)[:-9], "gzip", 400),
        (gzip.compress(b"{}") + b"more", "gzip", 400),
        (b"{}", "br", 415),
        (gzip.compress(b" " * (MAX_DECODED_BYTES + 1)), "gzip", 413),
        (b" " * (MAX_RECEIVED_BYTES + 1), "", 413),
    ],
    ids=["no gzip", "cut off", "trailing", "brotli", "bomb", "large"],
)
def test_bodies_that_cannot_be_read_are_refused(
    client: WireClient, body: bytes, encoding: str, status: int
) -> None:
    """Broken, unknown and oversized bodies get an answer that says so."""
    response = client.post("signals", body, Content_Encoding=encoding)
    assert response.status_code == status
    assert response.json()["error"]["field"] == "body"


def test_decompression_takes_no_more_memory_than_its_bound() -> None:
    """A body that would grow a thousandfold is given up when it reaches the bound."""
    bomb = gzip.compress(bytes(4 * MAX_DECODED_BYTES), compresslevel=1)
    tracemalloc.start()
    with pytest.raises(BodyRefusedError):
        decode(bomb, b"gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * MAX_DECODED_BYTES


def test_largest_allowed_body_is_read(backend: Backend, client: WireClient) -> None:
    """The bound itself is still within it."""
    document = json.dumps(client.body({"signals": [signal("s1")]})).encode()
    padding = b" " * (MAX_DECODED_BYTES - len(document))
    response = client.post(
        "signals", gzip.compress(document + padding), Content_Encoding="gzip"
    )
    assert response.status_code == 200
    assert backend.signal_summary()["distinct"] == 1
