"""R13: two start in one folder at the same moment; exactly one may win, and the other is told so (exit code 6).

python tests/faults/soak/race.py --n 20          # as the verbs do it, in processes that have imported all
python tests/faults/soak/race.py --n 3 --cli     # the commands themselves
"""

from __future__ import annotations

import argparse
import os
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from common import TOY, script

from gxsearch.errors import GxError
from gxsearch.results.run_dir import RunDir


def main() -> None:
    """Race, in turn, for a new folder and for one to be gone on with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--cli", action="store_true")
    args = parser.parse_args()
    script(lambda folder: raced(folder, args.n, commands if args.cli else verbs))


def raced(folder: Path, n: int, race: Callable[[Path, int], list[int]]) -> tuple[str, bool]:
    """Return the line of so many races, and whether each had one winner."""
    codes = Counter(tuple(sorted(race(folder, i))) for i in range(n))
    return f"race: {codes[0, 6]} of {n} had one winner and one who was told {dict(codes)}", codes[0, 6] == n


def verbs(folder: Path, i: int) -> list[int]:
    """Race for ``begin`` in even rounds, for ``reopen`` of what was begun in odd ones."""
    from gxsearch.search.intake import read_table
    from gxsearch.search.opening import begin, reopen
    from gxsearch.search.spec import load

    spec, place = load(TOY / "toy.yaml"), folder / f"run{i // 2}"
    table = read_table(spec)
    start = (lambda: begin(spec, table, 1, place)) if i % 2 == 0 else (lambda: reopen(RunDir.open(place), {}))
    both = [_starter(start) for _ in range(2)]
    for _, _, go in both:
        os.write(go, b"!")
    told = [os.read(heard, 1)[0] for _, heard, _ in both]
    for pid, _, go in both:  # who won holds the folder until the other has tried
        os.write(go, b"!")
        os.waitpid(pid, 0)
    return told


def _starter(start: Callable[[], object]) -> tuple[int, int, int]:
    """Fork a process that starts when told to; return its id, what it is heard by, and what it is told by."""
    heard, tell = os.pipe()
    listen, go = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tell)
        os.close(listen)
        return pid, heard, go
    os.close(go)
    os.read(listen, 1)
    code = 0
    try:
        opened = start()
    except GxError as error:
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
        code = 1
    os.write(tell, bytes([code]))
    os.read(listen, 1)
    if code == 0:
        opened.close("interrupted")
    os._exit(0)


def commands(folder: Path, i: int) -> list[int]:
    """Race two `gxsearch train` for one name."""
    from shell import Command

    (folder / "toy.yaml").write_text((TOY / "toy.yaml").read_text())
    both = [Command(folder, "train", "toy.yaml", "--name", f"run{i}", "-q") for _ in range(2)]
    return [command.wait() for command in both]


if __name__ == "__main__":
    main()
