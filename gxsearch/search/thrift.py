"""Thrift: what Ray Tune's controller is to keep, and not to keep, for which it has no public setting (Ray 2.60)."""

from __future__ import annotations

from collections import deque
from typing import Any

from ray.tune import PlacementGroupFactory


class Thrift:
    """Keeps idle actors for the trials to come, and no trials that are over."""

    def __init__(self, controller: Any):
        self._controller = controller
        self._over: deque[Any] = deque()

    def keep_actors(self, request: PlacementGroupFactory, slots: int) -> None:
        """Have as many idle actors kept as there are slots.

        One would be kept, and the processes of others ended, whenever trials end before the next ones are drawn; a
        new process and its imports cost seconds.
        """
        self._controller._actor_cache.increase_max(request, slots)

    def over(self, trial: Any) -> None:
        """Have those trials forgotten that were over before this one.

        Tune keeps all, some 20 KB each, and looks at all of them at each step. Our ledger tells of them. The last one
        stays: Tune would look on the disk for trials where it has none.
        """
        self._over.append(trial)
        for _ in range(len(self._over) - 1):
            ended = self._over.popleft()
            if ended.is_finished():
                self._forget(ended)
            else:
                self._over.append(ended)

    def rest(self) -> None:
        """Have the idle actors hold nothing."""
        for actor, _ in self._controller._actor_manager._live_actors_to_ray_actors_resources.values():
            actor.rest.remote()

    def _forget(self, trial: Any) -> None:
        held = self._controller
        held._trials.remove(trial)
        for some in (held._stopped_trials, held._failed_trials, held._live_trials, held._trials_to_cache):
            some.discard(trial)
        held._trial_metadata.pop(trial.trial_id, None)
