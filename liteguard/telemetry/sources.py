"""Where signals come from: this process's journals, and those that others left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from liteguard.telemetry.journal_folder import is_deleted

if TYPE_CHECKING:
    from liteguard.telemetry.adoption import Adopter
    from liteguard.telemetry.journal_file import JournalFile
    from liteguard.telemetry.journals import Journals
    from liteguard.telemetry.load import Load

_HOLE_ROUNDS = 3


class Sources:
    """Fills loads from all journals that are this process's to deliver.

    Used by one thread at a time.

    Args:
        journals: This process's.
        adopter: Claims what others left; ``None`` without a state folder.
        is_leading: Whether this process leads, so that it delivers for the dead.
        life_sign_seconds: How often the living touch their journals.
    """

    def __init__(
        self,
        journals: Journals,
        adopter: Optional[Adopter],
        *,
        is_leading: Callable[[], bool],
        life_sign_seconds: float,
    ) -> None:
        self._journals = journals
        self._adopter = adopter
        self._is_leading = is_leading
        self._life_sign_seconds = life_sign_seconds
        self._is_adopted_first = False
        self._round = 0
        # By journal: what was settled when a record was found missing, and when.
        self._holes: dict[str, tuple[int, int]] = {}
        self._opened: list[JournalFile] = []

    @property
    def has_holes(self) -> bool:
        """Whether a record is waited for whose thread may be writing it now."""
        return bool(self._holes)

    def claim(self) -> None:
        """Begin a round: claim what is sealed, and as leader what others left."""
        self._round += 1
        # Those of journals that others have delivered meanwhile are of no use.
        oldest = self._round - _HOLE_ROUNDS
        self._holes = {n: hole for n, hole in self._holes.items() if hole[1] >= oldest}
        adopter = self._adopter
        if adopter is None:
            return
        for file in self._journals.files():
            if file.is_finished and file.path is not None:
                # Sealed, so that the leader may be claiming it as well.
                adopter.claim(file.path)
        if self._is_leading():
            adopter.claim_all(life_sign_seconds=self._life_sign_seconds)

    def bound(self) -> None:
        """Leave what could not be delivered yet to the leader, who bounds it."""
        if self._adopter is None:
            return
        if self._is_leading():
            self._journals.count_lost(self._adopter.drop_excess())
        else:
            # As long as it is claimed, the recorder cannot let its oldest go.
            self._adopter.release()

    def fill(self, load: Load) -> None:
        """Add to *load* what there is room for; `put_back` must follow."""
        # In turns, so that neither a busy process nor many dead ones keep the others.
        self._is_adopted_first = not self._is_adopted_first
        if self._is_adopted_first:
            self._add_adopted(load)
        self._add_own(load)
        if not self._is_adopted_first:
            self._add_adopted(load)

    def put_back(self, load: Load) -> None:
        """Let go of the journals of *load*, and delete what is delivered of them."""
        load.put_down()
        opened, self._opened = self._opened, []
        for file in opened:
            self._close(file)

    def recover(self) -> None:
        """Let go of what a round had in its hands that a signal handler has ended."""
        self._opened = []
        if self._adopter is not None:
            self._adopter.let_go_of_all()

    def _add_own(self, load: Load) -> None:
        for file in self._journals.files():
            if load.is_full:
                return
            is_growing = not file.is_finished
            is_ours = is_growing or self._is_only_here(file)
            if is_ours and self._journals.hold(file):
                load.pick_up(file)
                # Sealed a moment ago: from now on it belongs to who claims it.
                if not is_growing or not file.is_finished:
                    self._add(load, file)

    def _is_only_here(self, file: JournalFile) -> bool:
        # With its folder, perhaps. What is mapped here is all there is.
        return file.path is None or self._adopter is None or is_deleted(file.path)

    def _add_adopted(self, load: Load) -> None:
        adopter = self._adopter
        for path in adopter.claimed() if adopter is not None else ():
            if adopter is None or load.is_full:
                return
            file = adopter.open(path)
            if file is None:
                continue
            dropped = adopter.drop_if_old(file)
            self._journals.count_lost(dropped)
            if file.unsettled() == 0:
                # Many are: their processes were killed when all was delivered.
                self._close(file)
            else:
                self._opened.append(file)
                load.pick_up(file)
                self._add(load, file)

    def _add(self, load: Load, file: JournalFile) -> None:
        nonce, settled = file.owner.nonce, file.acknowledged
        hole = self._holes.pop(nonce, None)
        if hole is not None and hole[0] != settled:
            hole = None  # another one, which was filled
        # A record that was being written a whole round ago never will be.
        is_late = hole is not None and hole[1] < self._round
        waits = not is_late and file.owner.identity.is_alive()
        batch = load.add(file, waits_for_holes=waits)
        if batch.is_held_up:
            is_same = batch.last == settled
            found = (batch.last, self._round)
            self._holes[nonce] = hole if is_same and hole is not None else found

    def _close(self, file: JournalFile) -> None:
        adopter = self._adopter
        if adopter is None or file.path is None:
            return
        if file.unsettled() == 0:
            self._journals.count_lost(file.take_unreported())
            adopter.finish(file)
        else:
            adopter.let_go(file.path)
