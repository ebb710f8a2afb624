"""What bash, zsh and fish are told: the script, and the words for what is half typed, through bash itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TOY

ASK = """\
eval "$(gxsearch completion bash)"
while IFS= read -r line; do
    IFS='|' read -ra COMP_WORDS <<< "$line"
    [[ $line == *'|' ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
    _gxsearch_completion gxsearch 2> /dev/null
    (IFS=' '; echo "${COMPREPLY[*]}")
done
"""
TYPED = {
    "gxsearch|tu": "tune",
    "gxsearch|compl": "completion",
    "gxsearch|data|": "pseudobulk",
    "gxsearch|models|tra": "transformer",
    "gxsearch|status|": "runs/one runs/other",
    "gxsearch|status|runs/on": "runs/one",
    "gxsearch|embed|runs/ot": "runs/other",
    "gxsearch|train|toy.yaml|--trial|runs/one": "runs/one",
    "gxsearch|tune|to": "toy.yaml",
    "gxsearch|tune|--ti": "--time",
    "gxsearch|tune|toy.yaml|-s|budget.tr": "budget.trials=",
    "gxsearch|tune|toy.yaml|-s|space.model.latent_dim.": "space.model.latent_dim.int=",
    "gxsearch|check|toy.yaml|-s|space.train.weight": "space.train.weight_decay=",
    "gxsearch|tune|broken.yaml|-s|space.": "",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, str]:
    """What bash offers for everything that is typed."""
    home = tmp_path_factory.mktemp("home")
    for name in ("one", "other"):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / "run.json").touch()
    (home / "runs" / "none").mkdir()
    (home / "toy.yaml").write_bytes(TOY.read_bytes())
    (home / "broken.yaml").write_text("a: [")
    program = home / "bin" / "gxsearch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gxsearch.cli "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    typed = "\n".join(TYPED) + "\n"
    done = subprocess.run(
        ["bash", "-c", ASK], input=typed, env=env, cwd=home, capture_output=True, text=True, check=True
    )
    return dict(zip(TYPED, done.stdout.split("\n"), strict=False))


@pytest.mark.parametrize("typed", TYPED)
def test_bash_offers_what_can_follow(told, typed):
    assert told[typed] == TYPED[typed]


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o nosort -F"), ("zsh", "compdef"), ("fish", "complete")]
)
def test_each_shell_gets_a_script_of_its_own(call, shell, word):
    status, out, err = call("completion", shell)

    assert (status, err) == (0, "") and word in out and "_GXSEARCH_COMPLETE" in out


def test_a_shell_that_is_not_known_is_refused(call):
    status, out, err = call("completion", "tcsh")

    assert status == 2 and "'bash', 'zsh', 'fish'" in err and out == ""


def test_words_are_offered_without_importing_what_is_slow(tmp_path):
    slow = "{'torch', 'ray', 'pandas', 'anndata', 'numpy', 'rich', 'pydantic'}"
    code = f"import sys, atexit; atexit.register(lambda: print(sorted({slow} & sys.modules.keys()), file=sys.stderr)); "
    code += "from gxsearch.cli import main; main()"
    asked = {"_GXSEARCH_COMPLETE": "bash_complete", "COMP_WORDS": "gxsearch status r", "COMP_CWORD": "2"}

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == "[]\n"


def test_help_says_how_to_install_each(call):
    out = call("completion", "--help")[1]

    assert all(f"gxsearch completion {shell}" in out for shell in ("bash", "zsh", "fish"))
    assert Path(".config/fish/completions/gxsearch.fish").as_posix() in out
