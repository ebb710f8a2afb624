"""Verbs that watch a search: `status`, `board` (TensorBoard) and `dash` (optuna-dashboard)."""

from __future__ import annotations

import click

from gxsearch.answer import answer, asked, leavable, streaming, tell, write
from gxsearch.events import event

HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 lets others in.")
PORT = click.option("--port", type=click.IntRange(0, 65535), help="0 for any; by default the first that is free.")


@click.command()
@click.argument("run")
@click.option("--watch", is_flag=True, help="Follow it until it ends; Ctrl-C leaves it alone.")
def status(run: str, watch: bool) -> None:
    """Say where a search, or each search of a comparison, stands."""
    from gxsearch import standing

    if not watch:
        write(standing.status(run, as_json=asked().json))
        return
    from gxsearch.console import Shown

    with streaming(), leavable(), Shown() as shown:
        show = (lambda f: tell(event("status", **f))) if asked().json else (lambda f: shown(standing.told(f, run)))
        last = standing.watch(run, show)
        shown.end()
        answer(lambda: standing.told(last, run), lambda: last)


@click.command()
@click.argument("run")
@HOST
@PORT
def board(run: str, host: str, port: int | None) -> None:
    """Show a run or a comparison in TensorBoard, until Ctrl-C."""
    from gxsearch import serving

    serving.board(run, host, port)


@click.command()
@click.argument("run")
@HOST
@PORT
def dash(run: str, host: str, port: int | None) -> None:
    """Show a run's trials in optuna-dashboard, until Ctrl-C.

    It sees a copy of the study, which follows the run: nothing that is changed there changes the run.
    """
    from gxsearch import serving

    serving.dash(run, host, port)
