"""R6: what a search that went down left behind is cut or turned in some bits; it ends the same, or is refused.

python tests/faults/soak/mutate_state.py --n 420
"""

from __future__ import annotations

import argparse
import random
import shutil
import time
from collections import Counter
from pathlib import Path

from common import script, small_search

from gxsearch.results.run_dir import RunDir

SPEC = ("budget.trials=5", "budget.epochs=5")
LONGEST_S = 10.0


def main() -> None:
    """Damage each of the files that a search is resumed from, in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=420)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    script(lambda folder: mutated(folder, args.n, random.Random(args.seed)))


def mutated(folder: Path, n: int, rng: random.Random) -> tuple[str, bool]:
    """Return the line of so many cases, and whether none was lost, silent or slow."""
    from damage import damage, survives, told

    whole = told(small_search(folder / "whole", *SPEC))
    cut = small_search(folder / "cut", *SPEC, epochs=12)
    ends, bad, longest = Counter(), [], 0.0
    for i in range(n):
        run = RunDir(shutil.copytree(cut.path, folder / f"run{i}"))
        path = _state(run)[i % 9]
        what, begun = damage(path, rng), time.monotonic()
        try:
            how, _ = survives(run, whole, folder / f"copy{i}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this script looks for
            how = "bad"
            bad.append(f"{what}: {type(error).__name__} {error}")
        ends[how] += 1
        longest = max(longest, time.monotonic() - begun)
        for done in (run.path, folder / f"copy{i}"):
            shutil.rmtree(done, ignore_errors=True)
    line = f"mutate_state: {n - len(bad)} of {n} ended the same or were refused {dict(ends)}"
    return f"{line}, the longest in {longest:.1f} s {bad[:3] if bad else ''}", not bad and longest < LONGEST_S


def _state(run: RunDir) -> list[Path]:
    """Return the files that decide: of the run, and of the newest checkpoint of the trial that was running."""
    newest = max(run.checkpoints(max(int(p.name) for p in run.path.glob("trials/*"))).glob("[0-9]*"))
    return [run.run, run.spec, run.ledger, run.journal, run.lock, *sorted(newest.iterdir())]


if __name__ == "__main__":
    main()
