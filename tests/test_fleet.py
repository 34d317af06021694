"""Fleets of simulated hosts, which run the package's own refresher and flusher."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Callable

import pytest

from liteguard.errors import TransportRejected
from published import finish, start_published
from stress.fleet import published, scenarios
from stress.fleet.disks import Clock, Real
from stress.fleet.fleet import Fleet, flushes
from stress.fleet.lives import RATE_SECONDS
from stress.fleet.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stress.fleet.scenarios import Scenario

HOSTS = 500
# Jitter shortens an interval by a tenth at most.
LONGEST, SHORTEST = RATE_SECONDS, 0.9 * RATE_SECONDS
# At rest a second carries a sixtieth of all hosts, more or less by chance.
USUAL = HOSTS / 20
HERD = HOSTS / 2


@pytest.fixture
def make_disk(tmp_path: Path) -> Callable[[Clock], Real]:
    """Return what makes a real state folder for each host."""
    numbers = itertools.count()

    def make(clock: Clock) -> Real:
        path = tmp_path / str(next(numbers))
        path.mkdir()
        return Real(path, clock)

    return make


def during(story: Scenario, requests: Sequence[float]) -> list[float]:
    """Return the requests in each second in which it happens."""
    return [requests[second] for second in story.during]


def after(story: Scenario, requests: Sequence[float]) -> list[float]:
    """Return the requests in each second afterwards."""
    return [requests[second] for second in story.after]


def without_jitter(low: float, high: float) -> float:
    """Draw what a backoff without jitter would wait."""
    assert low <= high
    return high


# -- polls


@pytest.mark.parametrize("workers", [1, 4])
def test_polls_are_one_for_each_host_and_interval(
    make_disk: Callable[[Clock], Real], workers: int
) -> None:
    """However many workers share a folder, and whichever of them is killed."""
    story = scenarios.CHURN
    fleet = Fleet(story, 1, workers=workers, make_disk=make_disk)
    polls = sum(during(story, fleet.run().polls))
    seconds = len(story.during)
    assert seconds // LONGEST <= polls <= seconds // SHORTEST + 1
    assert len(fleet.hosts[0].leaders) == 1


def test_leader_alone_stands_for_a_whole_host(
    make_disk: Callable[[Clock], Real],
) -> None:
    """Without chance, followers on a real folder add not one poll to their leader's."""
    story = scenarios.DEPLOY_NEW
    whole = Fleet(story, 1, workers=4, make_disk=make_disk, draw=without_jitter)
    alone = Fleet(story, 1, draw=without_jitter)
    assert sum(whole.run().polls) == sum(alone.run().polls)
    assert whole.backend.bundles == alone.backend.bundles == 2


def test_deploy_adds_no_poll_where_the_folder_outlives_it() -> None:
    """New processes keep the rhythm of the old ones, and their bundle."""
    story = scenarios.DEPLOY
    backend = Fleet(story, HOSTS).run()
    assert backend.bundles == HOSTS
    assert max(during(story, backend.polls) + after(story, backend.polls)) < USUAL


def test_deploy_of_new_containers_asks_once_for_each() -> None:
    """A host that begins with nothing gets the whole bundle, once."""
    story = scenarios.DEPLOY_NEW
    backend = Fleet(story, HOSTS).run()
    assert backend.bundles == 2 * HOSTS
    assert sum(during(story, backend.polls)) < 1.2 * HOSTS


@pytest.mark.parametrize("story", [scenarios.OUTAGE, scenarios.OUTAGE_NEW])
def test_hosts_do_not_return_in_one_herd(story: Scenario) -> None:
    """After an outage no second has more polls than a usual one."""
    polls = Fleet(story, HOSTS).run().polls
    assert max(after(story, polls)) < USUAL
    # The backend is asked no more than usual while it is down for long.
    assert sum(during(story, polls)[-120:]) < 120 * HOSTS / SHORTEST


def test_without_jitter_hosts_return_in_one_herd() -> None:
    """It is chance that keeps hosts apart which failed together."""
    story = scenarios.OUTAGE_NEW
    polls = Fleet(story, HOSTS, draw=without_jitter).run().polls
    assert max(after(story, polls)) > HERD


@pytest.mark.parametrize("asked", ["the same moment", "the same pause"])
def test_hosts_that_are_told_when_to_return_spread(asked: str) -> None:
    """A date that is the same for all hosts does not gather them at that moment."""
    story = scenarios.OUTAGE_NEW

    def refuse(now: float) -> TransportRejected:
        left = story.end_seconds - now
        pause = left if asked == "the same moment" else 240.0
        return TransportRejected("503", status_code=503, retry_after_seconds=pause)

    polls = Fleet(story, HOSTS, refuse=refuse).run().polls
    assert max(after(story, polls)) < USUAL


# -- signals


def test_each_process_sends_its_signals_once_in_an_interval() -> None:
    """At rest, less the jitter: so there are up to a ninth more requests."""
    story = scenarios.OUTAGE
    requests = flushes(story, 200)
    minute = requests[story.rest[-1] - int(RATE_SECONDS) : story.rest[-1]]
    assert 200 <= sum(minute) <= 200 / 0.9


def test_processes_do_not_send_in_one_herd_after_an_outage() -> None:
    """What has waited is not sent by all in the same second."""
    story = scenarios.OUTAGE
    assert max(after(story, flushes(story, HOSTS))) < USUAL


# -- beside them

PUBLISHED = """
import io, json, urllib.error, urllib.request
from liteguard import ClientOptions, LiteguardClient

now, asked = 0.0, []

class Wakeup:
    def wait(self, seconds):
        global now
        now += seconds
        if now >= 600.0:
            client._stop_event.set()
        return False

    def clear(self):
        pass

def urlopen(request, timeout):
    asked.append(now)
    if 150.0 <= now < 450.0:
        raise urllib.error.URLError("down")
    return io.BytesIO(b'{"guards": [], "etag": "1"}')

urllib.request.urlopen = urlopen
client = LiteguardClient("pct-any", ClientOptions(environment="default"))
client._refresh_wakeup_event = Wakeup()
client.start()
client._refresh_thread.join()
print(json.dumps(asked))
"""


def test_published_package_keeps_to_the_rule() -> None:
    """The package itself, whose waiting takes no time, asks when the rule says."""
    asked = json.loads(finish(start_published(PUBLISHED)))
    assert asked == list(published.asks(0.0, 600.0))


def test_published_package_asks_for_each_process() -> None:
    """Each process asks at its start and once in each interval from then on."""
    story = scenarios.OUTAGE
    polls = published.requests(story, 10, 16)
    assert sum(polls[story.during[0] : story.during[60]]) == 160
    assert sum(polls[story.after[0] : story.after[60]]) == 160


def test_a_few_processes_stand_for_many() -> None:
    """A fleet that is too large to be simulated is counted with a weight."""
    story = scenarios.OUTAGE
    polls = published.requests(story, 2_000, 64, most_processes=6_400)
    minute = polls[story.during[0] : story.during[60]]
    assert sum(minute) == pytest.approx(2_000 * 64)


# -- the loop


def test_actions_run_in_the_order_of_their_moments() -> None:
    """One that returns a pause runs again, one that returns nothing does not."""
    loop, seen = Loop(), []

    def tick() -> float:
        seen.append(("tick", loop()))
        return 2.0

    def once() -> None:
        seen.append(("once", loop()))
        loop.at(loop(), lambda: seen.append(("added", loop())))

    loop.at(1.0, tick)
    loop.at(3.0, once)
    loop.run(5.0)
    assert seen == [("tick", 1.0), ("once", 3.0), ("tick", 3.0), ("added", 3.0)]
    assert loop() == 5.0


def test_the_past_cannot_be_planned() -> None:
    """An action whose moment is over is refused."""
    loop = Loop()
    loop.run(5.0)
    with pytest.raises(ValueError, match="is over"):
        loop.at(4.0, lambda: None)
