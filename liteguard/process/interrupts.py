"""Keeps the signals of the process out of the package's threads.

The kernel gives a signal to any thread that does not block it. Python runs handlers in
the main thread alone, but handlers in C run where the signal arrives: uWSGI's ends the
process there, and the interpreter that ends in another thread than the main one waits
for that for ever.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Callable

_THREAD = Path("/proc/thread-self")
# What a thread brings about by itself is told to it, and to faulthandler.
_OWN_FAULTS = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")
_here = threading.local()


def keep_out() -> bool:
    """Let no signal of the process arrive in the calling thread, and say whether so.

    Does nothing in the main thread, which may run ours as greenlets, nor where the
    kernel does not tell which one that is, as off Linux.
    """
    if _may_be_main():
        return False
    faults = {getattr(signal, name) for name in _OWN_FAULTS}
    _here.kept_out = signal.valid_signals() - faults
    signal.pthread_sigmask(signal.SIG_BLOCK, _here.kept_out)
    return True


def as_outside(action: Callable[[], object]) -> None:
    """Call *action*, the application's, with signals: what it starts inherits these."""
    kept_out = getattr(_here, "kept_out", ())
    if kept_out:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, kept_out)
    try:
        action()
    finally:
        if kept_out:
            signal.pthread_sigmask(signal.SIG_BLOCK, kept_out)


def _may_be_main() -> bool:
    # Not threading's word for it, which gevent replaces.
    try:
        process, _, thread = _THREAD.readlink().parts
    except (OSError, ValueError):
        return True
    return process == thread
