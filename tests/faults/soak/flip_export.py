"""R7: a bit of an exported model, or of a checkpoint, is turned; reading must notice.

python tests/faults/soak/flip_export.py --n 1000
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path

from common import script, small_search

from gxsearch.errors import RunError


def main() -> None:
    """Turn bits in any file of either, and put them back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    script(lambda folder: flipped(folder, args.n, random.Random(args.seed)))


def flipped(folder: Path, n: int, rng: random.Random) -> tuple[str, bool]:
    """Return the line of so many turned bits, and whether all were noticed."""
    from gxsearch.results import export, package
    from gxsearch.training import checkpoint

    run = small_search(folder / "run")
    model = export.export(run, 0, folder / "model")
    saved = next(run.checkpoints(0).glob("[0-9]*"))
    package.load(model), checkpoint.read(saved)  # both are sound
    places = [(model, package.load), (saved, checkpoint.read)]
    missed = [what for i in range(n) for what in _turned(*places[i % 2], rng)]
    return f"flip_export: {n - len(missed)} of {n} turned bits were noticed {missed[:5]}", not missed


def _turned(folder: Path, read: Callable[[Path], object], rng: random.Random) -> list[str]:
    path = rng.choice(sorted(folder.iterdir()))
    data = path.read_bytes()
    at, bit = rng.randrange(len(data)), rng.randrange(8)
    path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
    try:
        read(folder)
    except RunError:
        return []
    finally:
        path.write_bytes(data)
    return [f"{path.name} bit {bit} of byte {at}"]


if __name__ == "__main__":
    main()
