"""What one request carries: signals from as many journals as it has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

import orjson

from liteguard.telemetry.signals import SignalEncoder

if TYPE_CHECKING:
    from liteguard.telemetry.journal_file import Batch, JournalFile
    from liteguard.telemetry.records import Record

_MAX_BYTES = 1024 * 1024
# Each that lies on disk may cost a file descriptor of the application.
_MAX_JOURNALS = 32


class _First(NamedTuple):
    """Where the first signal comes from, on which the count of losses rides."""

    encoder: SignalEncoder
    record: Record


class Load:
    """Signals of one request, and what is settled once they are delivered.

    Bounded: at most *max_signals*, from 32 journals, in about 1 MiB. A journal is in
    flight from `add` to `put_down`. Used by one thread.

    Args:
        max_signals: Most signals that it takes.
    """

    def __init__(self, max_signals: int) -> None:
        self._max_signals = max_signals
        self._signals: list[bytes] = []
        self._bytes = 0
        self._is_cut = False
        self._first: Optional[_First] = None
        self._parts: list[tuple[JournalFile, Batch]] = []
        self._files: list[JournalFile] = []
        self.dropped = 0
        """How many signals are lost, and reported with these."""
        self.carried = 0
        """How many of those are in no journal, to be kept if the load fails."""

    def __len__(self) -> int:
        """Return how many signals there are."""
        return len(self._signals)

    @property
    def is_full(self) -> bool:
        """Whether another journal finds no room."""
        return (
            self._is_cut
            or len(self._signals) >= self._max_signals
            or len(self._files) >= _MAX_JOURNALS
        )

    @property
    def has_work(self) -> bool:
        """Whether anything would be sent or settled."""
        return bool(self._parts)

    def pick_up(self, file: JournalFile) -> None:
        """Keep others from sending what *file* holds."""
        file.set_in_flight(is_in_flight=True)
        self._files.append(file)

    def put_down(self) -> None:
        """Let others send what is not settled."""
        for file in self._files:
            file.set_in_flight(is_in_flight=False)

    def add(self, file: JournalFile, *, waits_for_holes: bool) -> Batch:
        """Take from *file* what there is room for, and return it."""
        limit = self._max_signals - len(self._signals)
        batch = file.read(limit, waits_for_holes=waits_for_holes)
        encoder = SignalEncoder(file)
        fitting, signals = self._encoded(encoder, batch.records)
        while fitting < len(batch.records):
            # Its end is another one now, with other losses before it.
            self._is_cut = True
            batch = file.read(fitting, waits_for_holes=waits_for_holes)
            fitting, signals = self._encoded(encoder, batch.records)
        if batch.last != file.acknowledged:
            self._take(file, batch, encoder, signals)
        return batch

    def carry(self, lost: int) -> None:
        """Report further losses with these signals; `carried` says how many."""
        self.dropped += lost
        self.carried += lost

    def body(self) -> list[orjson.Fragment]:
        """Return the signals; the first reports the losses, so that they are told once.

        Called once, when all is added.
        """
        if self._first is not None:
            first = self._first
            self._signals[0] = first.encoder.encode(first.record, self.dropped)
        return [orjson.Fragment(signal) for signal in self._signals]

    def settle(self) -> None:
        """State that everything here is delivered, or is to be reported elsewhere."""
        for file, batch in self._parts:
            file.settle(batch)

    def _take(
        self,
        file: JournalFile,
        batch: Batch,
        encoder: SignalEncoder,
        signals: list[tuple[Record, bytes]],
    ) -> None:
        self._parts.append((file, batch))
        damaged = len(batch.records) - len(signals)
        self.dropped += batch.dropped + damaged
        if signals and self._first is None:
            self._first = _First(encoder, signals[0][0])
        self._signals.extend(signal for _, signal in signals)
        self._bytes += sum(len(signal) for _, signal in signals)

    def _encoded(
        self, encoder: SignalEncoder, records: list[Record]
    ) -> tuple[int, list[tuple[Record, bytes]]]:
        """Encode the records that fit; return how many do, damaged ones included."""
        signals: list[tuple[Record, bytes]] = []
        size = self._bytes
        for position, record in enumerate(records):
            try:
                signal = encoder.encode(record)
            except ValueError:  # a damaged record: counted as lost
                continue
            size += len(signal)
            if size > _MAX_BYTES and (signals or self._signals):
                return position, signals
            # A copy, as the original has room for a kilobyte: to keep hundreds of
            # those takes new pages of the kernel, and twice the time of encoding.
            signals.append((record, bytes(memoryview(signal))))
        return len(records), signals
