"""R2, R3: a search of 12 trials gets random signals, again and again; it ends as one that nothing happened to.

python tests/faults/soak/kill_loop.py --n 20 --seed 1
python tests/faults/soak/kill_loop.py --n 10 --only SIGKILL     # R2
"""

from __future__ import annotations

import argparse
import random
import signal
import time
from collections import Counter
from pathlib import Path

from common import script

from gxsearch.results.run_dir import RunDir

SIGNALS = {signal.SIGKILL: 137, signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 75}


def main() -> None:
    """Search once in peace, and once not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20, help="signals")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[number.name for number in SIGNALS], help="send no other signal")
    args = parser.parse_args()
    numbers = [number for number in SIGNALS if args.only in (None, number.name)]
    script(lambda folder: looped(folder, args.n, random.Random(args.seed), numbers))


def looped(folder: Path, n: int, rng: random.Random, numbers: list[signal.Signals]) -> tuple[str, bool]:
    """Return the line of a search with so many signals, and whether it ended like the other."""
    from shell import PACE, TOY, Command, count, lost, wait_for

    (folder / "slow.yaml").write_text(TOY.replace("{int: [1, 6]}", f"{{int: [1, 6]}}, sleep: {PACE}"))
    begun, calm, run = time.monotonic(), RunDir(folder / "runs" / "calm"), RunDir(folder / "runs" / "run")
    alone = Command(folder, "tune", "slow.yaml", "--name", "calm", "-q")
    assert alone.wait() == 0, alone.err
    sent, wrong, seen, most = Counter(), [], 0, 0
    command = Command(folder, "tune", "slow.yaml", "--name", "run", "-q")
    for i in range(n):
        target = count(run, "epoch") + rng.randint(1, 4)
        wait_for(lambda c=command, t=target: c.process.poll() is not None or count(run, "epoch") >= t, 200)
        if command.process.poll() is not None:
            break
        number, group = rng.choice(numbers), rng.random() < 0.5
        command.signal(number, group=group)
        code, told = command.wait(60), count(run, "epoch")
        sent[signal.Signals(number).name] += 1
        wrong += [f"{i}: {code} for {number}: {command.err}"] if code not in (SIGNALS[number], 0) else []
        wrong += [f"{i}: {seen} epochs became {told}"] if told < seen else []
        seen, most = told, max(most, lost(run))
        command.check_gone()
        command = Command(folder, "resume", "runs/run", "-q")
    wrong += [command.err] if command.wait() != 0 else []
    wrong += ["it ended otherwise"] if _told(run) != _told(calm) else []
    signals = f"{sum(sent.values())} signals {dict(sent)} in {time.monotonic() - begun:.0f} s"
    line = f"kill_loop: {signals}; at most {most} epochs of a trial trained again"
    return f"{line}; {wrong[:3] or 'ended like the other'}", not wrong


def _told(run: RunDir) -> list[tuple]:
    from gxsearch.results.ledger import trials

    return [(t.number, t.params, t.state, t.best, len(t.history)) for t in trials(run.ledger)]


if __name__ == "__main__":
    main()
