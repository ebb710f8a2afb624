"""Completing: `gxsearch completion SHELL`, and what a shell offers for arguments: runs, files, models, settings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from gxsearch.answer import answer

VARIABLE = "_GXSEARCH_COMPLETE"
"""By this variable click knows that a shell asks for words."""
_NO_SPACE = "    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n\n    return 0"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which a shell completes words.

    It offers verbs, options, runs, spec files, models, and settings after -s.

    \b
    bash:  echo 'eval "$(gxsearch completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(gxsearch completion zsh)"' >> ~/.zshrc
    fish:  gxsearch completion fish > ~/.config/fish/completions/gxsearch.fish

    Then start a new shell.
    """
    made = get_completion_class(shell)(context.find_root().command, {}, "gxsearch", VARIABLE)
    script = made.source_template % made.source_vars()
    script = script.replace("    return 0", _NO_SPACE) if shell == "bash" else script
    answer(lambda: script, lambda: {"shell": shell, "script": script})


class Word(click.types.StringParamType):
    """A text for which a shell offers words of some kind."""

    def __init__(self, kind: str):
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the words that go on from what is typed; none where something is wrong, which is no time to say so."""
        offer = {"run": _runs, "spec": _specs, "model": _models, "setting": lambda word: _settings(word, ctx)}
        try:
            found = sorted({word for word in offer[self._kind](incomplete) if word.startswith(incomplete)})
        except Exception:  # noqa: BLE001 - a half-typed command line may be anything, and a traceback would be in it
            found = []
        if not found and self._kind in ("run", "spec"):
            return [CompletionItem(incomplete, type="dir" if self._kind == "run" else "file")]
        return [CompletionItem(word) for word in found]


_KINDS = {"run": "run", "runs": "run", "source": "run", "older": "run", "spec": "spec", "specs": "spec"}
_KINDS |= {"sets": "setting", "changes": "setting"}
_FILES = {"data", "out", "cells", "file", "files"}


def offer(verb: click.Command) -> None:
    """Have the texts that a verb takes completed, by their names."""
    kinds = _KINDS | {"models": {"name": "model"}, "train": {"trial": "run"}}.get(verb.name or "", {})
    for param in verb.params:
        if type(param.type) is not click.types.StringParamType:
            continue
        if param.name in kinds:
            param.type = Word(kinds[param.name])
        elif param.name in _FILES:
            param.type = _File()


class _File(click.types.StringParamType):
    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


def _runs(typed: str) -> Iterable[str]:
    """Yield folders of runs and comparisons, those below GXSEARCH_RUNS also before their folder is typed."""
    home = os.environ.get("GXSEARCH_RUNS", "runs")
    below = Path(home).glob("*") if home.startswith(typed) else []
    for path in [*below, *_beginning(typed)]:
        if (path / "run.json").is_file() or (path / "compare.json").is_file():
            yield str(path)


def _specs(typed: str) -> Iterable[str]:
    usual = Path("search_spaces").glob("*.yaml") if "search_spaces/".startswith(typed) else []
    for path in [*usual, *_beginning(typed)]:
        if path.suffix in (".yaml", ".yml"):
            yield str(path)


def _beginning(typed: str) -> list[Path]:
    """Return the files that begin as typed."""
    above, slash, name = typed.rpartition("/")
    folder = Path(above + slash) if slash else Path()
    return [path for path in folder.iterdir() if path.name.startswith(name)] if folder.is_dir() else []


def _models(typed: str) -> Iterable[str]:
    from gxsearch.models import registry

    return registry.names()


def _settings(typed: str, context: click.Context) -> Iterable[str]:
    """Yield ``path=`` for the values that the file has, and for those that it could have beside them."""
    from gxsearch.search.override import SECTIONS
    from gxsearch.search.sections import Budget, Confirm, Resources, SearchConfig
    from gxsearch.search.yaml_file import parse, read_bytes

    given = [context.params.get("spec"), *context.params.get("specs", ()), *context.args]  # args: after an open option
    spec = next((word for word in given if word and Path(word).is_file()), None)
    values: Any = parse(read_bytes(spec), spec).values if spec else {}
    paths = set(_leaves(values, "")) | (set(SECTIONS) - {"gxsearch", "space", "data"})
    kinds = {"budget": Budget, "search": SearchConfig, "resources": Resources, "confirm": Confirm}
    paths |= {f"{section}.{name}" for section, kind in kinds.items() for name in kind.model_fields} - {"budget.time_s"}
    if typed.startswith("space.") and spec:  # whose names the model knows: it takes a second
        from gxsearch.models import registry

        kind = registry.get(values["model"])
        paths |= {
            f"space.{g}.{n}" for g, c in {"model": kind.Config, "train": kind.Train}.items() for n in c.model_fields
        }
    return [f"{path}=" for path in paths]


def _leaves(values: Any, above: str) -> Iterable[str]:
    if not isinstance(values, dict):
        return
    for name, value in values.items():
        yield f"{above}{name}"
        yield from _leaves(value, f"{above}{name}.")
