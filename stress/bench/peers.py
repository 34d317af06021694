"""One check beside those of other SDKs, in one run in which all of them take turns.

Builds an environment for each by name and version, once, and starts each in a process
of its own, on loopback: ``python stress/bench/peers.py [turns]``. Writes the medians to
`results/peers.json` and the plot to `docs/benchmarks-peers.svg`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from measuring import PROCESSOR
from results import FOLDER, keep
from sink import sink
from turns import take_turns

from environments import BRIEFLY, ROOT, environment, own_environment, variables

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_TURNS = 1 if BRIEFLY else 60
OURS = "liteguard"
PUBLISHED = "liteguard published"
FLOOR = "floor"

PEERS: dict[str, tuple[str, str, str]] = {
    PUBLISHED: ("liteguard==0.7.20260603", "published", "signals"),
    "launchdarkly": ("launchdarkly-server-sdk==9.18.2", "launchdarkly", "events"),
    "unleash": ("UnleashClient==6.9.1", "unleash", "counts"),
    "growthbook": ("growthbook==4.0.0", "growthbook_", "none"),
    "configcat": ("configcat-client==10.0.1", "configcat", "none"),
    "openfeature in-memory": ("openfeature-sdk==0.10.0", "openfeature_", "none"),
    "statsig core": ("statsig-python-core==0.24.2", "statsig", "exposures"),
    "flagsmith": ("flagsmith==6.3.0", "flagsmith_", "none"),
    "posthog": ("posthog==7.91.1", "posthog_", "events"),
}
"""By name: what to install, the program, and what a check records."""

if BRIEFLY:  # all the others would have to be installed
    PEERS = {PUBLISHED: PEERS[PUBLISHED]}


def main(turns: int) -> None:
    """Measure, print, keep and plot."""
    own = own_environment()
    pythons = {name: environment(peer[0]) for name, peer in PEERS.items()}
    with sink() as address, tempfile.TemporaryDirectory() as folder:
        arguments = (address, folder)
        programs = {FLOOR: (own, "floor", arguments), OURS: (own, "ours", arguments)}
        for name, (_, file, _) in PEERS.items():
            programs[name] = (pythons[name], file, arguments)
        medians = take_turns(programs, turns)
    _tell(medians)
    path = keep(
        "peers",
        turns=turns,
        unit="nanoseconds, medians",
        versions={name: peer[0] for name, peer in PEERS.items()},
        records={OURS: "signals", **{name: peer[2] for name, peer in PEERS.items()}},
        medians=medians,
    )
    if not BRIEFLY:
        _plot(path)


def _tell(medians: dict[str, dict[str, float]]) -> None:
    for kind in ("", PROCESSOR):
        case = f"one rule{kind}"
        floor, ours = medians[FLOOR][case], medians[OURS][case]
        print(f"{case:28}{'ns':>10}{'x floor':>10}{'x ours':>10}")
        for name, cases in sorted(medians.items(), key=lambda item: item[1][case]):
            one = cases[case]
            print(f"    {name:24}{one:10.0f}{one / floor:10.1f}{one / ours:10.1f}")
    print(f"\n{'published / ours':34}{'ours ns':>10}{'ratio':>10}")
    for case, value in medians[OURS].items():
        print(f"{case:34}{value:10.0f}{medians[PUBLISHED][case] / value:10.1f}")
    share = medians[OURS]["one rule"] / medians[OURS]["8 threads"]
    print(f"\nthroughput of 8 threads: {share:.2f} of that of one")


def _plot(path: Path) -> None:
    python = environment("matplotlib==3.10.7")
    picture = ROOT / "docs/benchmarks-peers.svg"
    subprocess.run(  # noqa: S603  our own program
        [str(python), str(FOLDER.parent / "plot_peers.py"), str(path), str(picture)],
        check=True,
        env=variables(),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TURNS)
