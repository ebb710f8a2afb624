"""Exits: how a call of the command line ends: an exit code, and of a fault one line, with `--json` also as JSON."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from gxsearch.answer import Asked, Unread, hush, say
from gxsearch.errors import AGAIN, Fault, GxError, SpecError, did_you_mean
from gxsearch.events import dumps, event

USAGE = "E200"
"""The code of a call that cannot be read; its exit code is 2."""


def run(cli: click.Group, args: Sequence[str]) -> None:
    """Run the command line; a fault of the user's is one line and an exit code, not a traceback."""
    asked, debug = Asked(), "--debug" in args
    _write_anything()
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        cli(args=list(args), prog_name="gxsearch", standalone_mode=False, obj=asked)
    except Unread:  # whoever read has read enough
        hush(asked.out or sys.stdout)
        sys.exit(128 + signal.SIGPIPE)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - who wants the traceback asks for it
        if debug and not isinstance(error, click.ClickException | click.Abort | KeyboardInterrupt):
            raise
        faults, code = _read(error, _context(cli, args))
        _show(error, faults)
        if (asked.json or "--json" in args) and not (asked.answered or asked.deaf):
            _tell(asked, faults, code)
        sys.exit(code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop(KeyboardInterrupt):
    """What a signal other than that of Ctrl-C raises."""

    def __init__(self, number: int):
        super().__init__()
        self.signal = number


def _stop(number: int, frame: Any) -> None:
    raise _Stop(number)


def _write_anything() -> None:
    """Have letters that the encoding of a terminal lacks written out, for names come from files."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _context(cli: click.Group, args: Sequence[str]) -> click.Context:
    """Return the context of the verb that is called, which some of click's errors do not tell."""
    context = click.Context(cli, info_name="gxsearch")
    for word in args:
        verb = context.command.commands.get(word) if isinstance(context.command, click.Group) else None
        context = click.Context(verb, parent=context, info_name=word) if verb else context
    return context


def _read(error: BaseException, context: click.Context) -> tuple[Sequence[Fault], int]:
    """Return the faults that an error tells of, and the exit code."""
    if isinstance(error, GxError):
        return error.faults, error.exit_code
    if isinstance(error, click.ClickException):
        return [_usage(error, getattr(error, "ctx", None) or context)], 2
    if isinstance(error, KeyboardInterrupt | click.Abort):
        number = getattr(error.__cause__ or error, "signal", signal.SIGINT)  # click wraps it
        return [Fault("E690", "", "stopped")], AGAIN if number == signal.SIGUSR1 else 128 + number
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return [Fault("E790", "", f"this is a mistake of gxsearch ({what})", "see where with: gxsearch --debug ...")], 7


def _usage(error: click.ClickException, context: click.Context) -> Fault:
    """Return what is wrong with a call, and how it is to be written."""
    path, usage = context.command_path, " ".join(context.get_usage().split()).removeprefix("Usage: ")
    what = error.format_message().rstrip(".").replace("Missing command", "a verb is missing")
    if isinstance(context.command, click.Group):
        verbs = f"; verbs: {', '.join(context.command.list_commands(context))}" * what.endswith("missing")
        return Fault(USAGE, path, what, f"usage: {path} VERB ...{verbs}; more: {path} --help")
    if isinstance(error, click.NoSuchOption) and "Did you mean" not in what and "Possible" not in what:
        hint = did_you_mean(error.option_name, [o for p in context.command.params for o in p.opts if o[:2] == "--"])
        what += f"; {hint}" if hint.startswith("did") else ""
    return Fault(USAGE, path, what, f"usage: {usage}; more: {path} --help")


def _tell(asked: Asked, faults: Sequence[Fault], code: int) -> None:
    """Write faults as JSON where the result would have been."""
    told = [{"code": f.code, "where": f.where, "what": f.what, "fix": f.fix} for f in faults]
    try:
        click.echo(dumps(event("error", code=faults[0].code, exit=code, faults=told)), file=asked.out)
    except BrokenPipeError:
        hush(asked.out or sys.stdout)


def _show(error: BaseException, faults: Sequence[Fault]) -> None:
    if faults[0].code == "E690":  # a signal is no error
        say(str(error) if isinstance(error, GxError) else faults[0].what)
        return
    for fault in faults:
        say(str(fault))
        if isinstance(error, SpecError):
            from gxsearch.search.yaml_file import excerpt

            lines = excerpt(fault.where)
            if lines:
                say(lines)
