"""What a runtime consists of, made for one process and wired together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.errors import StateFolderError
from liteguard.host.in_force import BundleInForce
from liteguard.host.leadership import LeaderLock
from liteguard.host.polls import PollLog
from liteguard.host.refresh import Refresher
from liteguard.host.snapshots import Snapshot, SnapshotStore
from liteguard.host.statedir import StateFolder, open_state_folder
from liteguard.process import uwsgi
from liteguard.process.identity import ProcessIdentity, current_identity
from liteguard.telemetry.adoption import Adopter
from liteguard.telemetry.execution import new_id
from liteguard.telemetry.flush import Flusher
from liteguard.telemetry.journals import Journals
from liteguard.telemetry.recorder import Recorder
from liteguard.telemetry.unadopted import UnadoptedCounts
from liteguard.transport import Transport

if TYPE_CHECKING:
    from liteguard.options import ClientOptions
    from liteguard.process.logs import Trouble
    from liteguard.telemetry.waiting import Standby

# How long a journal made in a uWSGI master may be written, see `Journals`.
_LEASE_SECONDS = 1.0
# How long a leader may give no sign of life before another one takes its place.
_STALE_SECONDS = 30.0
# A leader in the middle of a long request is no leader that does nothing.
_STALE_REQUESTS = 4.0


@dataclass(frozen=True)
class Parts:
    """One process's connection, locks, journal and workers-to-be.

    Args:
        pid: The process.
        folder: The state folder; ``None`` for a standalone process.
        find_folder: Finds the one that would be taken now, perhaps a better one.
        transport: Speaks with the backend.
        lock: Who leads; ``None`` for a standalone process.
        refresher: Brings bundles in.
        recorder: Takes signals.
        unadopted: Counts checks of unadopted guards.
        flusher: Sends both.
    """

    pid: int
    folder: Optional[StateFolder]
    find_folder: Callable[[], StateFolder]
    transport: Transport
    lock: Optional[LeaderLock]
    refresher: Refresher
    recorder: Recorder
    unadopted: UnadoptedCounts
    flusher: Flusher


def make_parts(
    *,
    token: str,
    options: ClientOptions,
    publish: Callable[[Snapshot], None],
    standby: Standby,
    folder_trouble: Trouble,
    on_many: Callable[[], None],
    snapshot: Optional[Snapshot],
) -> Parts:
    """Make the parts for the calling process. Blocks for a few file operations.

    Args:
        token: The project client token.
        options: The client's options.
        publish: Puts a bundle into force.
        standby: What was recorded before there was a recorder in this process.
        folder_trouble: Told when the state folder cannot be used.
        on_many: Called when many records wait.
        snapshot: What is in force already.
    """
    identity = current_identity()
    folder = _open_folder(token, options, folder_trouble)
    find_folder = partial(_find_folder, token, options)
    transport = _make_transport(token, options, identity)
    lock = _make_lock(folder, identity, options)
    refresher = Refresher(
        fetch=transport.fetch_bundle,
        bundle=_make_bundle(folder, token, publish, snapshot),
        polls=PollLog(folder.polls_path if folder else None, identity.boot_id),
        lock=lock,
        boot_id=identity.boot_id,
        refresh_rate_seconds=options.refresh_rate_seconds,
        reload_rate_seconds=options.reload_rate_seconds,
        quiet=options.quiet,
    )
    recorder = _make_recorder(folder, options, identity, standby, on_many)
    unadopted = UnadoptedCounts()
    flusher = Flusher(
        transport=transport,
        recorder=recorder,
        unadopted=unadopted,
        adopter=Adopter(folder.journals_path, identity) if folder else None,
        is_leading=lambda: refresher.is_leading,
        flush_rate_seconds=options.flush_rate_seconds,
        quiet=options.quiet,
    )
    return Parts(
        pid=identity.pid,
        folder=folder,
        find_folder=find_folder,
        transport=transport,
        lock=lock,
        refresher=refresher,
        recorder=recorder,
        unadopted=unadopted,
        flusher=flusher,
    )


def _make_transport(
    token: str, options: ClientOptions, identity: ProcessIdentity
) -> Transport:
    return Transport(
        backend_url=options.backend_url,
        token=token,
        environment=options.environment,
        process_id=new_id(),
        pid=identity.pid,
        timeout_seconds=options.http_timeout_seconds,
        ca_bundle=options.ca_bundle,
        proxies=options.proxies,
    )


def _make_recorder(
    folder: Optional[StateFolder],
    options: ClientOptions,
    identity: ProcessIdentity,
    standby: Standby,
    on_many: Callable[[], None],
) -> Recorder:
    capacity = options.flush_size * options.flush_buffer_multiplier
    journals = Journals(
        folder.journals_path if folder else None,
        identity,
        capacity=capacity,
        flush_size=options.flush_size,
        on_many=on_many,
        is_measured=not options.disable_measurement,
        lease_seconds=_LEASE_SECONDS if uwsgi.is_master() else 0.0,
    )
    return Recorder(standby=standby, journals=journals, max_waiting=capacity)


def _make_bundle(
    folder: Optional[StateFolder],
    token: str,
    publish: Callable[[Snapshot], None],
    snapshot: Optional[Snapshot],
) -> BundleInForce:
    path = folder.snapshot_path if folder else None
    store = SnapshotStore(path, token, snapshot) if path else None
    return BundleInForce(store, publish, snapshot=snapshot)


def _make_lock(
    folder: Optional[StateFolder], identity: ProcessIdentity, options: ClientOptions
) -> Optional[LeaderLock]:
    if folder is None:
        return None
    stale_after_seconds = max(
        _STALE_SECONDS, _STALE_REQUESTS * options.http_timeout_seconds
    )
    return LeaderLock(
        folder.leader_lock_path, identity, stale_after_seconds=stale_after_seconds
    )


def _find_folder(token: str, options: ClientOptions) -> StateFolder:
    return open_state_folder(
        options.state_dir,
        token=token,
        backend_url=options.backend_url,
        environment=options.environment,
    )


def _open_folder(
    token: str, options: ClientOptions, trouble: Trouble
) -> Optional[StateFolder]:
    try:
        folder = _find_folder(token, options)
    except StateFolderError as error:
        trouble.begin(
            str(error),
            "liteguard: no state folder can be shared (%s): each process asks the "
            "backend for itself, and counts rate limits alone; set "
            "LITEGUARD_STATE_DIR to a folder of this user",
            error,
        )
        return None
    if folder.refused:
        trouble.begin(
            folder.refused,
            "liteguard: cannot use the state folder %s: using %s; set "
            "LITEGUARD_STATE_DIR to a folder that this user can write",
            folder.refused,
            folder.path,
        )
    else:
        trouble.end()
    return folder
