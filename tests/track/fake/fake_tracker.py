"""What the stand-ins of the trackers' libraries share: calls are written down, and some go wrong as a test asks.

FAKE_TRACKER_CALLS names the file of calls; FAKE_TRACKER_FAULT is ``WHAT:CALL``, as in ``hang:log_batch``, and WHAT one
of hang, raise, refuse, unauthorized, die; CALL may be ``any``.
"""

import json
import os
import signal
import time


def called(name, *told, errors=None):
    what, _, where = os.environ.get("FAKE_TRACKER_FAULT", ":").partition(":")
    if where in (name, "any"):
        if what == "hang":
            time.sleep(600)
        elif what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "raise":
            raise ConnectionError(f"no server\nfor {name}")
        elif what in (errors or {}):
            raise errors[what]
    with open(os.environ["FAKE_TRACKER_CALLS"], "a") as file:
        file.write(json.dumps([name, *told], default=str) + "\n")
