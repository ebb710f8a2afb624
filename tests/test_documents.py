"""The commands in our documents exist: every verb, option and file that a code block or a sentence names."""

import re
import shlex
from pathlib import Path

import click
import pytest

from gxsearch.cli import cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    "README.md",
    "search_spaces/README.md",
    "gxsearch/models/README.md",
    "cluster/README.md",
    "cluster/LIMITS.md",
]
DOCUMENTS += ["tests/faults/README.md", "examples/README.md"]
OURS = {"gxsearch", "python", "pytest"}


def commands(path: str) -> list[list[str]]:
    """Return the words of every command in the blocks of shell and, between backquotes, the sentences of a document."""
    text = (ROOT / path).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [
        part for block in blocks for line in block.replace("\\\n", " ").splitlines() for part in line.split(" && ")
    ]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += [" ".join(found.split()) for found in re.findall(r"(?<!`)`((?:gxsearch|python|pytest) [^`]+)`", prose)]
    found = [shlex.split(line, comments=True) for line in lines]
    return [[Path(words[0]).name, *words[1:]] for words in found if words and Path(words[0]).name in OURS]


def told(words: list[str]) -> str:
    return " ".join(words)


CASES = [(path, words) for path in DOCUMENTS if (ROOT / path).exists() for words in commands(path)]


@pytest.mark.parametrize(("path", "words"), [c for c in CASES if c[1][0] == "gxsearch"], ids=lambda v: None)
def test_a_command_of_a_document_is_one(path, words):
    command, name, rest = cli, "gxsearch", [w for w in words[1:] if w != "..."]
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        name, *rest = rest
        command = command.get_command(context, name)
        assert command is not None, f"{path}: {told(words)}: no verb {name}"
        if not rest:
            return  # a verb that a sentence names

    command.make_context(name, [word for word in rest if not re.fullmatch(r"\[.*\]|\[|\]", word)])


@pytest.mark.parametrize(("path", "words"), [c for c in CASES if c[1][0] != "gxsearch"], ids=lambda v: None)
def test_a_file_that_a_command_of_a_document_names_is_there(path, words):
    named = [word for word in words[1:] if re.fullmatch(r"(tests|examples|gxsearch|cluster)/[\w/]+(\.py)?", word)]

    assert all((ROOT / word).exists() for word in named), f"{path}: {told(words)}"
