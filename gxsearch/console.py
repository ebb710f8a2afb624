"""Console: what a search shows while it runs: one live screen on a terminal, one line an event elsewhere."""

from __future__ import annotations

import itertools
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gxsearch.screen import WIDTH, Cell, in_notebook
from gxsearch.told import duration

if TYPE_CHECKING:  # they import Ray, which printing does not need
    from gxsearch.search.deadline import Deadline
    from gxsearch.search.referee import Referee, Standing

_MARKS = {"complete": "green", "stopped": "yellow", "diverged": "red", "failed": "red", "running": "cyan"}
ROWS = 8
_EVERY_S = {Live: 0.25, Cell: 1.0}
"""How often a screen is drawn again; a notebook keeps each until the next."""
NARROW = 70
"""Letters of a line below which columns move together."""
LEAST = 10
"""Letters that settings need to be shown."""


def short(params: dict) -> str:
    """Return settings on one line, without their group where the name alone says it."""
    return "  ".join(f"{name.split('.', 1)[1]}={_value(value)}" for name, value in params.items())


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(" ", "")


class _Quiet(Terminal):
    """A terminal whose end ends nothing: a search goes on when nobody looks any more."""

    def on_broken_pipe(self) -> None:
        """Print nothing from here on."""
        self.quiet = True


def terminal(*, quiet: bool = False) -> Terminal:
    """Return standard error as rich draws on it; in a notebook, as lines."""
    width = WIDTH if in_notebook() else None
    return _Quiet(stderr=True, highlight=False, quiet=quiet, force_jupyter=False, width=width)


def moves(screen: Terminal) -> bool:
    """Say whether lines can be drawn over: on a terminal that knows how."""
    return screen.is_terminal and not screen.is_dumb_terminal and sys.stderr.isatty()


class Shown:
    """A text that is drawn over on a terminal, and printed anew elsewhere."""

    def __init__(self) -> None:
        self._screen = terminal()
        self._live = Live(console=self._screen, auto_refresh=False, transient=True) if moves(self._screen) else None

    def __enter__(self) -> Shown:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def __call__(self, text: str) -> None:
        """Show this text now."""
        if self._live is not None:
            self._live.update(Text(text), refresh=True)
        else:
            self._screen.print(text, markup=False, soft_wrap=True)

    def end(self) -> None:
        """Draw no more."""
        if self._live is not None:
            self._live.stop()


class Progress:
    """Shows a search; draws to standard error, so that data on standard output stay clean."""

    def __init__(self, referee: Referee, deadline: Deadline, *, quiet: bool = False, live: bool | None = None):
        self._referee, self._deadline = referee, deadline
        self._terminal = terminal(quiet=quiet)
        on_screen = moves(self._terminal) if live is None else live
        self._live: Live | Cell | None = None
        if in_notebook() and not quiet:
            self._live = Cell()
        elif on_screen and not quiet:
            self._live = Live(console=self._terminal, auto_refresh=False, transient=True)
        self._drawn, self._begun = 0.0, time.monotonic()
        self._ended_before = referee.endings.total()
        referee.watchers.append(self._watch)

    def __enter__(self) -> Progress:
        if isinstance(self._live, Live):
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if isinstance(self._live, Cell):
            self._draw()  # what stays
        elif self._live is not None:
            self._live.stop()

    def tick(self) -> None:
        """Draw the screen again, if it was not just drawn."""
        if self._live is not None and time.monotonic() - self._drawn > _EVERY_S[type(self._live)]:
            self._drawn = time.monotonic()
            self._draw()

    def _draw(self) -> None:
        if isinstance(self._live, Cell):
            self._live.update(self._screen())
        elif self._live is not None:
            self._live.update(self._screen(), refresh=True)

    def _watch(self, what: str, trial: Standing) -> None:
        if self._live is None and what == "ended":
            self._terminal.print(self._line(trial), markup=False, soft_wrap=True)

    def _line(self, trial: Standing) -> str:
        best = f"{trial.best:.5g}" if trial.best is not None else "-"
        done, of = self._count()
        name, also = self._referee.spec.objective.metric, [one.metric for one in self._referee.spec.also]
        others = zip(also, (trial.values(also) or [])[1:], strict=False)
        more = "".join(f", {other} {value:.5g}" for other, value in others)
        return (
            f"{done}/{of}  trial {trial.number:03d}  {trial.state:<8}  epoch {trial.epochs:>3}  "
            f"{name} {best}{more} (epoch {trial.best_epoch})  {trial.reason or short(trial.params)}"
        )

    def _count(self) -> tuple[int, str]:
        return self._referee.endings.total(), str(self._referee.limit or "?")

    def _screen(self) -> Group:
        done, of = self._count()
        counts = {mark: sum(n for (state, _), n in self._referee.endings.items() if state == mark) for mark in _MARKS}
        counts["running"] = len(self._referee.order.running)
        parts = [f"{n} {state}" for state, n in counts.items() if n]
        elapsed = time.monotonic() - self._begun
        head = Text.assemble(
            (f" {done}/{of} trials", "bold"),
            "   ",
            "   ".join(parts),
            f"   {duration(elapsed)}{self._left(done, elapsed)}",
        )
        head.truncate(self._terminal.width - 1, overflow="ellipsis")
        lines = [head]
        leader, metric = self._referee.leader, self._referee.spec.objective.metric
        if leader is not None:
            where = f"   epoch {leader.best_epoch}   {short(leader.params)}"
            value = (f"{leader.best:.5g}", "bold green")
            best = Text.assemble(f" best {leader.number:03d}  {metric} ", value, where)
            best.truncate(self._terminal.width - 1, overflow="ellipsis")
            lines.append(best)
        return Group(*lines, self._table())

    def _left(self, done: int, elapsed: float) -> str:
        guesses = [self._deadline.left_s()]
        fresh = done - self._ended_before
        if self._referee.limit is not None and fresh > 0:
            guesses.append(elapsed / fresh * (self._referee.limit - done))
        known = [guess for guess in guesses if guess is not None]
        return f", about {duration(max(0.0, min(known)))} left" if known else ""

    def _table(self) -> Table:
        narrow = self._terminal.width < NARROW
        table = Table(box=None, padding=(0, 1, 0, 0) if narrow else (0, 2, 0, 1), header_style="dim")
        metric = self._referee.spec.objective.metric
        widths = {"trial": 5, "state": 8, "epoch": 6, metric: max(8, len(metric)), "best": 8}
        for name, width in widths.items():
            left = name in ("trial", "state")
            table.add_column(name, no_wrap=True, justify="left" if left else "right", min_width=width)
        rest = self._terminal.width - sum(width + (1 if narrow else 3) for width in widths.values()) - 3
        if rest >= LEAST:  # else figures would be cut short for it
            table.add_column("settings", overflow="ellipsis", no_wrap=True, max_width=rest)
        for trial in self._newest():
            last = trial.history[-1] if trial.history else {}
            epoch = f"{trial.epochs}/{self._referee.spec.budget.epochs}"
            numbers = [f"{value:.4g}" if value is not None else "" for value in (last.get(metric), trial.best)]
            state = Text(trial.state, style=_MARKS.get(trial.state, ""))
            words = Text(trial.reason if trial.state in ("failed", "diverged") else short(trial.params))
            table.add_row(f"{trial.number:03d}", state, epoch, *numbers, *[words] * (rest >= LEAST))
        return table

    def _newest(self) -> list[Standing]:
        """Return the trials to show: running ones, then ended ones, the newest first."""
        trials, running = self._referee.trials, self._referee.order.running
        ended = (trials[number] for number in reversed(trials) if number not in running)
        return [*(trials[n] for n in sorted(running, reverse=True)[:ROWS]), *itertools.islice(ended, ROWS)][:ROWS]
