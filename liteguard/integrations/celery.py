"""Carries the scope of whoever calls a Celery task into the task.

Only for applications that ask for it, by `carry_scopes`. Needs celery 5.3 or newer.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any, Callable, Optional

from celery import signals

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from liteguard import LiteguardClient

HEADER = "liteguard_scope"
"""The message header that holds the properties, unless another is chosen."""

MAX_HEADER_BYTES = 8 * 1024
"""A scope whose properties take more than this is not carried."""

_logger = logging.getLogger("liteguard")


def carry_scopes(
    client: LiteguardClient,
    *,
    only: Optional[Collection[str]] = None,
    header: str = HEADER,
) -> ScopeCarrier:
    """Let each Celery task run with the scope that was active where it was called.

    Call it once, where the application and *client* are made, so that both the
    processes that call tasks and the workers do. It concerns every Celery application
    of the process.

    The properties of the active scope travel as JSON in a header of the message, where
    everyone who may read the broker can read them. A protected context never does,
    neither its signature nor its properties: bind it again in the task if you need it.
    Values that are no text, number or boolean arrive as their text.

    Thread-safe; survives forks. Never makes a call or a task fail.

    Args:
        client: Whose scopes are carried.
        only: Names of the properties to carry; all if not given.
        header: Name of the header. Choose one for each client if there are several.

    Returns:
        A handle whose `ScopeCarrier.stop` ends it.
    """
    carrier = ScopeCarrier(client, only=only, header=header)
    carrier.start()
    return carrier


class ScopeCarrier:
    """Writes scopes into messages and binds them around tasks. See `carry_scopes`.

    Args:
        client: Whose scopes are carried.
        only: Names of the properties to carry; all if ``None``.
        header: Name of the header.
    """

    def __init__(
        self,
        client: LiteguardClient,
        *,
        only: Optional[Collection[str]] = None,
        header: str = HEADER,
    ) -> None:
        if isinstance(only, str):
            raise TypeError(f"only must be a list of names: [{only!r}]")
        self._client = client
        self._only = None if only is None else frozenset(only)
        self._header = header
        # By the identity of a request, which lives for as long as its task runs.
        self._bound: dict[int, contextlib.ExitStack] = {}
        self._reported: set[str] = set()
        # Up to celery 5.6 the methods of different objects count as the same receiver.
        self._uid = f"{__name__}-{id(self)}"

    def start(self) -> None:
        """Begin; what is called or begun from now on is concerned."""
        for signal, receiver in (
            (signals.before_task_publish, self._before_publish),
            (signals.task_prerun, self._before_run),
            (signals.task_postrun, self._after_run),
        ):
            signal.connect(receiver, weak=False, dispatch_uid=self._uid)

    def stop(self) -> None:
        """End; tasks that run keep their scope until they end. Idempotent."""
        # The third stays: it undoes what was bound before.
        signals.before_task_publish.disconnect(dispatch_uid=self._uid)
        signals.task_prerun.disconnect(dispatch_uid=self._uid)

    def _before_publish(self, *, headers: Any = None, **_: Any) -> None:
        # A task that is tried again brings the scope of its first call along.
        if not isinstance(headers, dict) or self._header in headers:
            return
        text = self._encode(self._client.get_active_scope().properties)
        if text is not None:
            headers[self._header] = text

    def _before_run(self, *, task: Any = None, **_: Any) -> None:
        # Celery lays the headers of a message over the request.
        properties = self._decode(task.request.get(self._header))
        if properties is not None:
            scope = self._client.create_scope(properties)
            binding = contextlib.ExitStack()
            binding.enter_context(self._client.run_with_scope(scope))
            self._bound[id(task.request)] = binding

    def _after_run(self, *, task: Any = None, **_: Any) -> None:
        binding = self._bound.pop(id(task.request), None)
        if binding is not None:
            binding.close()

    def _encode(self, properties: Mapping[str, Any]) -> Optional[str]:
        names = [name for name in properties if isinstance(name, str)]
        chosen = [n for n in names if self._only is None or n in self._only]
        if not chosen:
            return None
        with contextlib.suppress(ValueError):  # a number of thousands of digits
            # In ASCII, so that its length is its size.
            text = json.dumps({name: _plain(properties[name]) for name in chosen})
            if len(text) <= MAX_HEADER_BYTES:
                return text
        self._report(
            "large",
            "a scope is not carried into a Celery task: its properties take more than "
            f"{MAX_HEADER_BYTES} bytes; name those that are needed by only=",
        )
        return None

    def _decode(self, text: object) -> Optional[dict[str, Any]]:
        if text is None:
            return None
        try:
            return _properties(text)
        except (TypeError, ValueError, RecursionError) as error:
            self._report(
                "unreadable",
                f"a Celery task runs without its caller's scope: {error}",
            )
            return None

    def _report(self, kind: str, message: str) -> None:
        """Log it once in each process and its children."""
        if kind not in self._reported:
            self._reported.add(kind)
            _logger.warning("liteguard: %s", message)


def _properties(text: object) -> dict[str, Any]:
    """Return the properties in a header; raises ValueError or TypeError if it is bad.

    Whoever may write to the broker may have written it.
    """
    if not isinstance(text, str) or len(text) > MAX_HEADER_BYTES:
        raise ValueError("its header is no text, or too long")
    properties = json.loads(text)
    if not isinstance(properties, dict):
        raise TypeError("its header is no JSON object")
    return {name: _plain(value) for name, value in properties.items()}


def _plain(value: Any) -> Any:
    """Return what rules make of *value*, or its text if it is nothing to compare."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    for plain, convert in _PLAIN.items():
        if issubclass(kind, plain):
            # Not as a subclass, an enumeration perhaps, would write itself.
            return convert(value)
    try:
        return str.__str__(str(value))
    except Exception:  # noqa: BLE001  a value's own code may raise anything
        return None


_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
}
