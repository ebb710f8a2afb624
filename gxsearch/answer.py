"""Answer: what a verb puts on standard output, as text or JSON; its talk on standard error; the options all verbs have.

With `--json` a verb that ends with a result writes one document. One that takes long (`streams`) writes the events of
`gxsearch.events` as they happen, a line each, the last of which is the result. Nothing else is on standard output.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from typing import Any, TextIO

import click

from gxsearch import events


class Unread(Exception):
    """Whoever was to read the result has gone, as `head` does."""


@dataclass
class Asked:
    """How a call of the command line is to be answered, and what has been already.

    Attributes:
        out: where JSON goes while all else that is printed goes to standard error.
        answered: whether the result is out. deaf: whether nobody reads the events any more.
    """

    json: bool = False
    quiet: bool = False
    stream: bool = False
    answered: bool = False
    deaf: bool = False
    out: TextIO | None = None


def asked() -> Asked:
    """Return how the call that is being run is to be answered."""
    context = click.get_current_context(silent=True)
    return context.find_root().ensure_object(Asked) if context else Asked()


def _note(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        setattr(context.find_root().ensure_object(Asked), option.name.removeprefix("as_"), True)


def _no_color(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value and "NO_COLOR" not in os.environ:
        os.environ["NO_COLOR"] = "1"  # which rich, Ray and what they start heed
        context.find_root().call_on_close(lambda: os.environ.pop("NO_COLOR", None))


def common() -> list[click.Option]:
    """Return the options that all verbs have."""
    flag = {"is_flag": True, "expose_value": False, "is_eager": True}
    return [
        click.Option(["--json", "as_json"], help="Print JSON; events, a line each, where it takes long.", **flag),
        click.Option(["-q", "--quiet"], help="Show no progress.", **flag),
        click.Option(["--no-color"], help="Print without colors (also: NO_COLOR=1).", **flag),
        click.Option(["--debug"], help="Show tracebacks.", **flag),
    ]


def equip(verb: click.Command) -> None:
    """Give a verb the options that all have; one of its own that has the same name stays, and is noted too."""
    notes = {"json": _note, "quiet": _note, "no_color": _no_color}
    for option in common():
        own = next((p for p in verb.params if set(p.opts) & {o for o in option.opts if o.startswith("--")}), None)
        if own is None:
            verb.params.append(option)
        note = notes.get(option.name.removeprefix("as_"))
        if note is not None:
            (own or option).callback = _both((own or option).callback, note)


def _both(first: Any, second: Callable[..., None]) -> Callable[..., Any]:
    def call(context: click.Context, option: click.Parameter, value: Any) -> Any:
        second(context, option, value)
        return first(context, option, value) if first else value

    return call


def answer(text: Callable[[], str], found: Callable[[], Any]) -> None:
    """Write the result of a verb: the text, or with `--json` what was found; the other one is not made."""
    how = asked()
    if not how.json:
        write(text())
    elif how.stream:
        write(events.dumps(events.event("result", exit=0, **found())))
    else:
        write(events.dumps(found(), indent=1))


def write(text: str) -> None:
    """Write a result that is text, or JSON, already.

    Raises:
        Unread: when nobody is there to read it.
    """
    how = asked()
    try:
        click.echo(text, file=how.out)
    except BrokenPipeError:  # click would exit with 1, and say nothing
        raise Unread from None
    how.answered = True


def tell(event: dict[str, Any]) -> None:
    """Write an event; when nobody reads them any more, what is being done goes on without."""
    how = asked()
    if how.deaf:
        return
    try:
        click.echo(events.dumps(event), file=how.out)
    except BrokenPipeError:
        how.deaf = True
        hush(how.out or sys.stdout)
        say("nobody reads the events any more; they end here")


def say(text: str) -> None:
    """Talk: to standard error, or to nobody when that is closed."""
    try:
        click.echo(text, err=True)
    except BrokenPipeError:
        hush(sys.stderr)


def hush(stream: TextIO) -> None:
    """Let what is still written to a closed pipe go nowhere."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def sayer() -> Callable[[str], None]:
    """Return what tells people of progress: nothing with `--quiet`."""
    return (lambda text: None) if asked().quiet else say


@contextmanager
def leavable() -> Iterator[None]:
    """Have Ctrl-C be the way to leave, which is no error; other signals end the call as elsewhere."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if getattr(stop, "signal", signal.SIGINT) != signal.SIGINT:
            raise


def streams(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a verb that takes long: with `--json` it tells what happens as it does."""

    @wraps(verb)
    def run(*args: Any, **given: Any) -> Any:
        with streaming():
            return verb(*args, **given)

    return run


@contextmanager
def streaming() -> Iterator[None]:
    """Tell what happens in searches while this lasts, if that is asked for."""
    how = asked()
    if not how.json:
        yield
        return
    how.stream, how.out = True, sys.stdout
    with events.heard(_addressed), redirect_stdout(sys.stderr):  # what libraries print is talk
        yield


def _addressed(event: dict[str, Any]) -> None:
    """Write an event of a search, which has its run's address where that is on object storage."""
    from pathlib import Path

    from gxsearch.results.far import shown

    tell({**event, "run": shown(Path(event["run"]))})
