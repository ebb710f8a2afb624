"""Orphans: placement groups whose maker was killed, which Ray keeps, with all that is in them, until a search ends."""

from __future__ import annotations

import time

import ray
import ray._private.state
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.util.placement_group import PlacementGroup, remove_placement_group


class Orphans:
    """Frees, every few seconds, what workers of Ray Train had whose controller is dead.

    A controller dies with the actor of its trial, when that is killed. Ray's own remedy asks a dashboard, which not
    every Ray has. Who made a group is told by no public function of Ray 2.60.
    """

    EVERY_S = 2.0

    def __init__(self) -> None:
        self._looked = time.monotonic()

    def look(self) -> None:
        """Free what there is to free, unless that was just done."""
        if time.monotonic() - self._looked > self.EVERY_S:
            self._looked = time.monotonic()
            release()


def release() -> None:
    """Remove the placement groups of this job that a dead actor made."""
    job = ray.get_runtime_context().get_job_id()
    for told in ray._private.state.state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(told)
        by_actor = group.creator_actor_id.strip(b"\xff") != b""  # else it was made by the driver, which lives
        gone = by_actor and group.creator_actor_dead and group.creator_job_id.hex() == job
        if gone and group.state != PlacementGroupTableData.REMOVED:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
