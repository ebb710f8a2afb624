"""Thrift: what Ray Tune's controller is to keep, and not to keep, for which it has no public setting (Ray 2.60)."""

from __future__ import annotations

from collections import deque
from typing import Any

from ray.tune.progress_reporter import ProgressReporter, TrialProgressCallback


class Thrift:
    """Keeps idle actors for the trials to come, and no trials that are over."""

    def __init__(self, controller: Any):
        self._controller = controller
        self._over: deque[Any] = deque()

    def keep_actors(self, trial: Any, slots: int) -> None:
        """Have as many idle actors kept as there are slots.

        One would be kept, and the processes of others ended, whenever trials end before the next ones are drawn; a
        new process and its imports cost seconds.
        """
        self._controller._actor_cache.increase_max(trial.placement_group_factory, slots)

    def over(self, trial: Any) -> None:
        """Have those trials forgotten that were over before this one.

        Tune keeps all, some 20 KB each, looks at all of them at each step, and writes and reads all of them when it
        ends, which takes a minute for ten thousand. Our ledger tells of them. The last one stays: Tune would look
        on the disk for trials where it has none.
        """
        self._over.append(trial)
        for _ in range(len(self._over) - 1):
            ended = self._over.popleft()
            if ended.is_finished():
                self._forget(ended)
            else:
                self._over.append(ended)

    def _forget(self, trial: Any) -> None:
        held = self._controller
        held._trials.remove(trial)
        for some in (held._stopped_trials, held._failed_trials, held._live_trials, held._trials_to_cache):
            some.discard(trial)
        held._trial_metadata.pop(trial.trial_id, None)


class Mute(TrialProgressCallback):
    """Takes the place of the callback by which Tune prints results; that one keeps every trial and its last result."""

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Print nothing."""

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print nothing."""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print nothing."""


class Silent(ProgressReporter):
    """Takes the place of what Tune shows in a notebook, for which it clears the cell's output of all that is there."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        """Report nothing."""
        return False
