"""What can be known of uWSGI from inside it. Elsewhere every answer is "no"."""

from __future__ import annotations

import os
import re
import sys
import weakref
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from types import ModuleType

# Below it, the interpreter's lock is kept between two requests unless an option is set.
_FIRST_WITH_THREADS = (2, 0, 27)
_OFF = (None, b"false", b"off", b"no", b"0")
_LOOPS_WITH_THREADS = ("gevent", "asyncio")
_callbacks: dict[str, list[Callable[[], None]]] = {}


def is_master() -> bool:
    """Whether this process is a uWSGI master, the parent of all workers.

    A thread that computes there makes respawned workers deadlock: the master forks
    without holding the interpreter's lock.
    """
    module = _module()
    return module is not None and module.masterpid() == os.getpid()


def forks_later() -> bool:
    """Whether this process is about to fork the workers, and to become one itself.

    So it is without a master, while the application is imported. These forks run no
    hook: one that met a thread which wants the interpreter would leave a child that
    never gets it.
    """
    module = _module()
    if module is None or module.masterpid() or module.worker_id():
        return False
    return not (module.mule_id() or module.i_am_the_spooler())


def freezes_threads() -> bool:
    """Whether threads stand still here whenever no request is being served.

    So it is below uWSGI 2.0.27 without ``enable-threads``: a thread gets a slice of
    time when a request comes, and is in the middle of its work in between.
    """
    module = _module()
    if module is None or _version(module) >= _FIRST_WITH_THREADS:
        return False
    options = module.opt
    if options.get("enable-threads") not in _OFF or any(
        loop in options for loop in _LOOPS_WITH_THREADS
    ):
        return False
    return options.get("threads", b"1") in (*_OFF, b"1")


def patches_later() -> bool:
    """Whether gevent is about to replace threads and sockets in this process.

    uWSGI lets it do so when a worker begins to serve, also after the import of the
    application. A thread from before would share sockets with greenlets of after.
    """
    module = _module()
    if module is None or "gevent-monkey-patch" not in module.opt:
        return False
    if module.mule_id() or module.i_am_the_spooler():
        return False
    # Another thread may be in the middle of the import.
    monkey = sys.modules.get("gevent.monkey")
    is_patched = getattr(monkey, "is_module_patched", None)
    return is_patched is None or not is_patched("threading")


def may_run_threads() -> bool:
    """Whether threads can and should be started in this process, at this moment."""
    is_parent = is_master() or forks_later()
    return not (is_parent or freezes_threads() or patches_later())


def after_fork(callback: Callable[[], None]) -> None:
    """Call *callback* in every worker, mule and spooler that uWSGI forks.

    Comes after a hook that is there already. One that is set later replaces it: this
    only makes idle workers fresh, and nothing may depend on it.
    """
    _chain("post_fork_hook", callback)


def after_request(callback: Callable[[], None]) -> None:
    """Call *callback* in a worker after each request, when the answer is on its way.

    Has an effect only while uWSGI imports the application; else as `after_fork`.
    """
    _chain("after_req_hook", callback)


def _chain(hook: str, callback: Callable[[], None]) -> None:
    module = _module()
    if module is None:
        return
    callbacks = _callbacks.setdefault(hook, [])
    callbacks.append(callback)
    earlier = getattr(module, hook, None)
    if not isinstance(earlier, _Chain):
        setattr(module, hook, _Chain(earlier, callbacks))


class _Chain:
    """The hook that was there before, and then ours."""

    def __init__(
        self, earlier: Optional[Callable[[], None]], callbacks: list[Callable[[], None]]
    ) -> None:
        self._earlier = earlier
        self._callbacks = callbacks

    def __call__(self) -> None:
        if self._earlier is not None:
            self._earlier()
        for callback in self._callbacks:
            callback()


def _version(module: ModuleType) -> tuple[int, ...]:
    return tuple(map(int, re.findall(rb"\d+", module.version)[:3]))


def _module() -> Optional[ModuleType]:
    # uWSGI puts it there before it runs anything; to look for it elsewhere would cost
    # each process a search of its path.
    module = sys.modules.get("uwsgi")
    # Only the module that uWSGI itself provides can tell who the master is.
    return module if hasattr(module, "masterpid") else None


def weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls *method* while its object lives."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    return call
