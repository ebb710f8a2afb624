"""Terminals, pipes and locales: no color or movement where none is wanted, no table that cuts a figure short."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading

import pytest
from command_line import TOY, process, strict
from rich.console import Console

from gxsearch import console, overview
from gxsearch.console import Progress
from gxsearch.search.deadline import Deadline
from gxsearch.search.opening import begin

GXSEARCH = [sys.executable, "-m", "gxsearch.cli"]


@pytest.fixture
def searching(tmp_path, toy_spec, toy_table):
    """A search with two trials that run, and one that failed with many words."""
    with begin(toy_spec(), toy_table, 3, tmp_path / "run") as opened:
        for _ in range(3):
            opened.referee.create()
        for number in range(2):
            told = {"val/mse": 12.345678 - number, "best": 12.345678 - number, "best_epoch": 1, "time/epoch_s": 0.1}
            opened.referee.result(number, {"epoch": 1, "last": 0.0, **told})
        opened.referee.ended(2, "failed", "RuntimeError: " + "many words " * 20)
        yield opened


def screen(opened, width: int) -> list[str]:
    drawn = Console(width=width, file=io.StringIO())
    progress = Progress(opened.referee, Deadline(None), quiet=True)
    progress._terminal = drawn
    drawn.print(progress._screen())
    return drawn.file.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_screen_of_a_search_fits_and_cuts_no_figure_short(searching, width):
    lines = screen(searching, width)

    assert max(map(len, lines)) <= width and len(lines) == 6  # counts, best, head, three trials
    assert lines[2].split()[:5] == ["trial", "state", "epoch", "val/mse", "best"]
    assert lines[4].split()[:5] == ["000", "running", "1/8", "12.35", "12.35"]
    assert lines[5].split()[:3] == ["002", "failed", "0/8"]


ROWS = [
    ["name", "value", "what it is", "more"],
    ["a", "0.123456789", "some words " * 9, "x" * 20],
    ["b", "2", "few", "y"],
]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_table_breaks_texts_and_leaves_out_columns_but_cuts_nothing_short(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))

    text = overview.fitted([[cell.strip() for cell in row] for row in ROWS])

    assert max(map(len, text.split("\n"))) <= width
    assert "0.123456789" in text and text.count("words") == 9
    assert ("x" * 20 in text) != ("no room for: more" in text)


def test_a_table_in_a_pipe_has_all_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)

    assert overview.fitted(ROWS) == overview.aligned(ROWS)


@pytest.mark.parametrize("columns", ["20", "40", "60", "250"])
def test_the_verbs_that_print_tables_fit_a_terminal_of_any_width(run, call, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)

    for words in (("models",), ("trials", run), ("models", "toy")):
        status, out, _ = call(*words)
        table = out.split("\n\n")[-1].rstrip("\n").split("\n")

        assert status == 0 and (int(columns) == 20 or max(map(len, table)) <= int(columns)), words


def on_terminal(*words: str, **env: str | None) -> str:
    """Return what a call writes to a terminal on which both its outputs are."""
    ours, theirs = pty.openpty()
    found: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 4096):
                found.append(part)
        except OSError:
            return  # the other end was closed

    reader = threading.Thread(target=read)
    reader.start()
    changed = {"TERM": "xterm-256color", "NO_COLOR": None, "COLUMNS": "100", **env}
    process(*words, env=changed, capture_output=False, stdout=theirs, stderr=theirs)
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    return b"".join(found).decode()


@pytest.mark.parametrize(("env", "moving"), [({}, True), ({"TERM": "dumb"}, False)])
def test_a_screen_moves_only_where_the_terminal_can(tmp_path, toy_spec, toy_table, env, moving):
    opened = begin(toy_spec(), toy_table, 1, tmp_path / "run")
    end = threading.Timer(12.0, lambda: opened.close("done"))
    end.start()

    shown = on_terminal("status", tmp_path / "run", "--watch", **env)
    end.join()

    assert ("\x1b[" in shown) == moving
    assert "run   running" in shown and shown.rstrip().endswith("no trials yet") and "run   done" in shown


@pytest.mark.parametrize("how", [{"env": {"NO_COLOR": "1"}}, {"option": "--no-color"}, {}])
def test_no_color_is_heeded_as_a_variable_and_as_an_option(call, monkeypatch, how):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in how.get("env", {}).items():
        monkeypatch.setenv(name, value)
    found = []
    monkeypatch.setattr(overview, "models", lambda name, as_json: found.append(console.terminal().no_color) or "")

    call("models", *filter(None, [how.get("option")]))

    assert found == [bool(how)] and ("NO_COLOR" in os.environ) == ("env" in how)


def test_what_is_piped_to_a_reader_that_has_enough_ends_quietly():
    with subprocess.Popen([*GXSEARCH, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        told = running.stderr.read()

    assert (running.returncode, told) == (141, b"")


def test_a_search_goes_on_when_nobody_reads_its_progress(tmp_path):
    words = [*GXSEARCH, "train", str(TOY), "--name", "one", "--json"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        running.stderr.close()

    assert running.returncode in (0, 141) and (tmp_path / "runs/one/results/report.html").is_file()


@pytest.mark.parametrize(
    "env",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii output", "C locale"],
)
def test_names_beyond_ascii_are_printed_in_any_locale(tmp_path, env):
    folder = tmp_path / "dönör ±"
    folder.mkdir()
    (folder / "größe.yaml").write_bytes(TOY.read_bytes().replace(b"name: toy", "name: größe".encode()))

    fine = process("check", "größe.yaml", cwd=folder, env=env)
    wrong = process("status", "dönör", "--json", cwd=tmp_path, env=env)

    for done in (fine, wrong):
        assert b"Traceback" not in done.stderr and b"E790" not in done.stderr
    assert fine.stdout.isascii() and strict(wrong.stdout.decode())["faults"][0]["where"] == "dönör"


def test_a_closed_standard_output_is_no_mistake_of_ours():
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m gxsearch.cli --version >&-"], capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_talk_is_on_standard_error_and_data_are_on_standard_output(run, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    asked = ("sim_phenotypes?n=300&g=30", "-o", "b.h5ad", "--donor", "donor", "--cell-type", "cell_type")
    for words in (("status", run), ("best", run), ("report", run, "--static"), ("data", "pseudobulk", *asked)):
        status, out, err = call(*words)

        assert status == 0 and out and err == "", words


WRONG = {
    "no verb": ([], "a verb is missing", "models, init, check"),
    "another verb": (["tone"], "did you mean 'tune'?", "gxsearch --help"),
    "no verb of a group": (["cluster"], "a verb is missing", "lint, up, submit"),
    "no argument": (["tune"], "Missing argument 'SPEC'", "usage: gxsearch tune [OPTIONS] SPEC"),
    "another option": (["tune", "a.yaml", "--trails", "3"], "--trials", "gxsearch tune --help"),
    "an option without a value": (["tune", "a.yaml", "-n"], "requires an argument", "gxsearch tune --help"),
    "too much": (["status", "a", "b"], "unexpected extra argument (b)", "usage: gxsearch status [OPTIONS] RUN"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_call_that_cannot_be_read_is_told_in_one_line_with_what_can_be(call, case):
    words, what, fix = WRONG[case]

    status, out, err = call(*words)

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error[E200] gxsearch") and what in err and fix in err


@pytest.mark.parametrize("verb", ["tune", "board", "completion"])
def test_help_imports_only_what_it_needs(verb):
    asked = f"main(['{verb}', '--help'])"
    code = f"import sys; from gxsearch.cli import main\ntry: {asked}\nfinally: print(*sys.modules, file=sys.stderr)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    slow = {"rich", "pydantic", "yaml", "subprocess", "socket", "tempfile", "asyncio", "logging", "difflib"}
    assert "click" in done.stderr.split() and not slow & set(done.stderr.split())
