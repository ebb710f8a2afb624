"""Journal: where a search's Optuna study is kept: in memory, and in a file for optuna-dashboard.

A draw of TPE takes time that grows with the trials it looks at, so of a long search it looks at some only.
"""

from __future__ import annotations

import bisect
import json
import math
import time
from collections import deque
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

LATEST = 400
"""Trials that ended last, which a sampler that is not to look at all of them sees."""
BEST = 50
"""Trials that it sees besides: the best of all. TPE tells at most 25 good ones from the others."""
RUNNING = 50
"""Trials that began last and run, which it sees besides: it keeps away from where they are."""
_WRITE_EVERY_S = 1.0


class Mirror(BaseJournalBackend):
    """Optuna's journal in memory, written to a file about once a second.

    Optuna's own locks the file, syncs it to the disk and reads it again at every change. Nobody else writes here, and
    the file need not outlive the machine: whoever resumes a search makes it anew from the ledger.
    """

    def __init__(self, path: Path):
        self._path = path
        self._unwritten: list[str] = []
        self._written = -math.inf
        self._held: deque[dict[str, Any]] = deque()
        self._taken = 0

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Take changes.

        Raises:
            OSError: when the file cannot be written.
        """
        self._held += logs
        self._unwritten += [json.dumps(log, separators=(",", ":")) for log in logs]
        if time.monotonic() - self._written > _WRITE_EVERY_S:
            self.flush()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the changes from this number on, and forget those before."""
        while self._taken < log_number_from:
            self._held.popleft()
            self._taken += 1
        yield from list(self._held)

    def flush(self) -> None:
        """Write what is not in the file yet."""
        lines, self._unwritten, self._written = self._unwritten, [], time.monotonic()
        with open(self._path, "ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())


class Seen(JournalStorage):
    """A journal of one study of one objective whose sampler, unless `whole`, sees a part of the trials that ended.

    These are the `LATEST` to end, the `BEST` ones and the last `RUNNING`: the same trials told in the same order show
    it the same, and of shorter searches it sees all. Who asks for copies, as samplers do not, gets all trials.
    """

    def __init__(self, mirror: Mirror, *, whole: bool, sign: int):
        super().__init__(mirror)
        self._mirror, self._whole, self._sign = mirror, whole, sign
        self._open: dict[int, None] = {}
        self._latest: deque[FrozenTrial] = deque(maxlen=LATEST)
        self._best: list[FrozenTrial] = []

    def flush(self) -> None:
        """Write what is not in the file yet."""
        self._mirror.flush()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Begin a trial."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self._open[trial_id] = None
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Begin or end a trial."""
        done = super().set_trial_state_values(trial_id, state, values)
        if state.is_finished():
            del self._open[trial_id]
            if state != TrialState.FAIL and not self._whole:
                self._keep(self.get_trial(trial_id))
        return done

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return trials by number: without `deepcopy` those that a sampler sees."""
        if deepcopy or self._whole:
            return super().get_all_trials(study_id, deepcopy, states)
        found = {trial._trial_id: trial for trial in (*self._best, *self._latest)}
        found |= {trial_id: self.get_trial(trial_id) for trial_id in list(self._open)[-RUNNING:]}
        return [found[trial_id] for trial_id in sorted(found) if states is None or found[trial_id].state in states]

    def _keep(self, trial: FrozenTrial) -> None:
        self._latest.append(trial)
        bisect.insort(self._best, trial, key=self._rank)
        del self._best[BEST:]

    def _rank(self, trial: FrozenTrial) -> tuple[float, ...]:
        """Return the less the better the trial is, as TPE has it: whole ones first, then those that went farther."""
        if trial.state == TrialState.COMPLETE:
            return 0, 0, self._sign * trial.values[0], trial.number
        step, value = max(trial.intermediate_values.items(), default=(-1, math.inf))
        return 1, -step, math.inf if math.isnan(value) else self._sign * value, trial.number
