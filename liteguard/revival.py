"""Which `Runtime` this process has: parked before a fork, dropped and made anew after.

The flag reads 1 only while this process's threads are known to run. Parking clears it,
and so does the kernel in every child, whoever forked it. A check that reads 0 calls
`revive`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.process import exits, fork, uwsgi
from liteguard.process.logs import Trouble, logger
from liteguard.process.turns import Busy, Turn
from liteguard.process.waker import Waker, is_patched_since, may_be_patched_soon

if TYPE_CHECKING:
    from liteguard.runtime import Runtime

_PARK_SECONDS = 0.02
# In the refresh thread, which may wait.
_REPLACE_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_CALM_SECONDS = 300.0
# A child that is about to exec should start nothing; one that stays soon must.
_CHILD_DELAY_SECONDS = 0.05
# What a child inherits may be as old as its parent; a look takes some milliseconds.
_FIRST_LOOK_SECONDS = 0.1
# Threads started before gevent patches the process would be of the wrong kind.
_GEVENT_DELAY_SECONDS = 2.0


class Revival:
    """Gives the process it is in a `Runtime`, for as long as one is wanted.

    Args:
        make: Makes a runtime for this process.
        adopt: Told of the runtime in force, or of ``None`` when it is gone.
    """

    def __init__(
        self,
        *,
        make: Callable[[], Runtime],
        adopt: Callable[[Optional[Runtime]], None],
    ) -> None:
        self._make = make
        self._adopt = adopt
        self.flag = fork.new_flag()
        self.is_wanted = False
        self._looked_in = 0
        self._is_watching = False
        self.runtime: Optional[Runtime] = None
        self._adopted: Optional[Runtime] = None
        # The one before, of this same process, if it has not been succeeded yet.
        self._replaced: Optional[Runtime] = None
        self._waker: Optional[Waker] = None
        # By pid: what another thread had taken at a fork stays taken in the child.
        self._turns: dict[int, Turn] = {}
        self._retry_at = 0.0
        self._replace_at = -math.inf
        self._replace_pause = _RETRY_SECONDS
        self._running = Trouble("liteguard: runs again in this process")
        self._threads = Trouble("liteguard: background threads run")

    def want(self, timeout_seconds: float) -> None:
        """Revive from now on, here and in every process forked later."""
        self._turn().insist(timeout_seconds, self._want)

    def _want(self) -> None:
        if not self.is_wanted:
            self._watch()
            self.runtime = None
            self.is_wanted = True

    def _watch(self) -> None:
        if self._is_watching:
            return
        self._is_watching = True
        fork.watch(self)
        uwsgi.after_fork(uwsgi.weakly(self.wake_after_fork))
        if uwsgi.freezes_threads():
            uwsgi.after_request(uwsgi.weakly(self.work_after_request))

    def unwant(self, timeout_seconds: float) -> Optional[Runtime]:
        """Stop reviving; return the runtime that is to be closed, if there is one."""
        return self._turn().insist(timeout_seconds, self._unwant)

    def park_unwanted(self) -> None:
        """Stop what runs after a shutdown that was interrupted, or that interrupted."""
        runtime = self.runtime
        if not self.is_wanted and runtime is not None and runtime.pid == os.getpid():
            runtime.park(0.0)

    def _unwant(self) -> Optional[Runtime]:
        was_wanted, self.is_wanted = self.is_wanted, False
        self.flag[0] = 0
        self._adopt(None)
        runtime = self.runtime
        is_own = runtime is not None and runtime.pid == os.getpid()
        return runtime if was_wanted and is_own else None

    def revive(self) -> bool:
        """Run in this process if that is wanted, and return whether it is.

        Never raises. Whoever does not get to do it, because another thread does or a
        fork is under way, goes on with what is in force; but the first look of a
        process is waited for, for a moment, as it saves the waiting thread its own.
        """
        if self.is_wanted and time.monotonic() >= self._retry_at:
            self._try_to_revive()
        return self.is_wanted

    def _try_to_revive(self) -> None:
        is_first = self._looked_in != os.getpid()
        try:
            self._turn().call(
                self._run_here_if_due, _FIRST_LOOK_SECONDS if is_first else 0.0
            )
        except Busy:
            self._looked_in = os.getpid()  # once is enough, whatever the look waits for
        except Exception as error:  # noqa: BLE001  a check must not fail because of this
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            self._running.begin(
                type(error).__name__,
                "liteguard: cannot run in process %d, keeping the last bundle: %r",
                os.getpid(),
                error,
                level=logging.ERROR,
            )

    def replace(self) -> None:
        """Begin anew in this process, with another state folder than before.

        Rarer and rarer where that helps nothing.
        """
        now = time.monotonic()
        if now < self._replace_at:
            return
        is_again = now < self._replace_at + _CALM_SECONDS
        doubled = min(_CALM_SECONDS, 2.0 * self._replace_pause)
        self._replace_pause = doubled if is_again else _RETRY_SECONDS
        self._replace_at = now + self._replace_pause
        self._turn().insist(_REPLACE_SECONDS, self._drop)
        self.revive()

    def _drop(self) -> None:
        # Also first: a check in between is to be recorded, on standby.
        self.flag[0] = 0
        self._adopt(None)
        runtime, self.runtime = self.runtime, None
        self.flag[0] = 0
        if runtime is not None:
            runtime.park(0.0)
            self._replaced = runtime

    # -- around a fork

    def park(self) -> None:
        """Before a fork, in the parent: leave no thread and no lock to be copied."""
        self.flag[0] = 0
        exits.join_multiprocessing()
        deadline = time.monotonic() + _PARK_SECONDS
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.cancel(_left(deadline))
        # A revival that is under way may be about to start threads; those that come
        # later see that a fork is under way.
        self._turn().insist(_left(deadline), lambda: self._park_here(deadline))

    def _park_here(self, deadline: float) -> None:
        runtime = self.runtime
        if runtime is not None and runtime.pid == os.getpid():
            runtime.park(_left(deadline))
        self.flag[0] = 0

    def reset_after_fork(self) -> None:
        """After a fork, in the child: drop what is the parent's, and begin anew."""
        runtime = self.runtime
        if runtime is not None and runtime.pid == os.getpid():
            # uWSGI says so without a master to the first worker too, which is no child.
            self.flag[0] = 0
            runtime.park(0.0)
        else:
            self._abandon()
        self._turns = {}
        self._waker = None
        self._wake_soon()

    def wake_after_fork(self) -> None:
        """Do the same where a server tells of a fork that no hook has told of.

        It may tell so the parent too, if that becomes a worker itself.
        """
        runtime = self.runtime
        if runtime is not None and runtime.pid != os.getpid():
            self.reset_after_fork()
        elif runtime is not None and not runtime.is_running:
            self._wake_soon()

    def work_after_request(self) -> None:
        """Do in a server's own thread what is due, where no other thread can run."""
        if not self.revive():
            return
        runtime = self.runtime
        try:
            if runtime is not None and runtime.pid == os.getpid():
                runtime.work_here()
        except Exception:  # noqa: BLE001  the application's next request must be served
            logger.exception("liteguard: a background round failed, please report it")

    def _wake_soon(self) -> None:
        if self.is_wanted and self._waker is None and uwsgi.may_run_threads():
            is_early = may_be_patched_soon()
            delay = _GEVENT_DELAY_SECONDS if is_early else _CHILD_DELAY_SECONDS
            waker = Waker(self._wake, delay)
            # Where no thread is to be had, the first check tries again.
            with contextlib.suppress(RuntimeError):
                waker.start()
                self._waker = waker

    def _wake(self) -> None:
        """Revive a child in which nobody has made a check yet."""
        # In a process that gevent has patched since the fork, the first check does it.
        if not is_patched_since():
            self.revive()

    def _run_here_if_due(self) -> None:
        if self.is_wanted and not fork.is_under_way() and not self.flag[0]:
            self._run_here()

    def _run_here(self) -> None:
        for error in fork.take_errors():
            logger.error("liteguard: a fork hook failed: %r", error)
        runtime = self.runtime
        if runtime is not None and runtime.pid != os.getpid():
            # This process was forked by something that ran no hook.
            self._abandon()
            runtime = None
        if runtime is None:
            runtime = self._make()
            if self._replaced is not None:
                runtime.succeed(self._replaced)
            self.runtime = runtime
            self._replaced = None
        if self._adopted is not runtime:
            self._adopt(runtime)
            self._adopted = runtime
        runtime.look()
        self._looked_in = os.getpid()
        if uwsgi.freezes_threads():
            # A master says it for all its workers.
            self._tell_threads_do_not_run()
        elif uwsgi.may_run_threads():
            runtime.start_threads()
            self._raise_flag(runtime)
        self._running.end()

    def _raise_flag(self, runtime: Runtime) -> None:
        """Let checks go on without a look at all this, if the threads run for certain.

        Whoever could not wait for this revival takes the runtime away and then lowers
        the flag; so one of the two sees what the other did, and no flag stays up alone.
        """
        self.flag[0] = int(runtime.has_run)
        is_in_force = self.is_wanted and self.runtime is runtime
        if not is_in_force or not runtime.is_running:
            self.flag[0] = 0
        self.park_unwanted()

    def _tell_threads_do_not_run(self) -> None:
        self._threads.begin(
            "threads",
            "liteguard: this uWSGI lets no threads run between requests: set "
            "enable-threads = true; until then checks look at the snapshot, and a "
            "worker fetches and delivers after it has answered a request",
            level=logging.ERROR,
        )

    def _abandon(self) -> None:
        runtime, self.runtime = self.runtime, None
        self._replaced = None
        self._adopt(None)
        if runtime is not None:
            runtime.abandon()

    def _turn(self) -> Turn:
        return self._turns.setdefault(os.getpid(), Turn())


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
