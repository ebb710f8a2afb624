"""Rules for Slurm scripts: an end, a way back after preemption, a token, no secrets."""

from __future__ import annotations

import re

from gxsearch.cluster import shell
from gxsearch.cluster.findings import Findings
from gxsearch.cluster.sheet import Sheet
from gxsearch.errors import did_you_mean

_OPTIONS = (
    "account array chdir comment constraint cpus-per-gpu cpus-per-task dependency error exclude exclusive "
    "export gpus gpus-per-node gpus-per-task gres hint input job-name licenses mail-type mail-user mem "
    "mem-per-cpu mem-per-gpu nodelist nodes no-requeue ntasks ntasks-per-node open-mode output oversubscribe "
    "parsable partition qos requeue reservation signal threads-per-core time time-min tmp wckey wrap"
)
_SHORT = {"A": "account", "J": "job-name", "N": "nodes", "c": "cpus-per-task", "e": "error", "n": "ntasks"}
_SHORT |= {"o": "output", "p": "partition", "q": "qos", "t": "time", "w": "nodelist", "x": "exclude", "C": "constraint"}
_SHORT |= {"G": "gpus", "a": "array", "d": "dependency", "D": "chdir"}


def check(sheet: Sheet, found: Findings) -> None:
    """Add what is wrong with a Slurm script."""
    options = _options(sheet, found)
    top = f"{sheet.file}:1:1"
    if "time" not in options or re.search("unlimited|infinite|^0$", options["time"][0], re.IGNORECASE):
        where = options["time"][1] if "time" in options else top
        found.add("E385", where, "nothing bounds the time of the job", "write #SBATCH --time=24:00:00")
    if "requeue" not in options:
        fix = "write #SBATCH --requeue"
        found.add("E387", options.get("no-requeue", ("", top))[1], "a job that is preempted is lost", fix)
    _signal(sheet, options, found)
    _commands(sheet, found)


def _options(sheet: Sheet, found: Findings) -> dict[str, tuple[str, str]]:
    """Return the values of #SBATCH lines and their places by name; below the first command Slurm reads none."""
    options: dict[str, tuple[str, str]] = {}
    ended, known = False, _OPTIONS.split()
    for number, line in enumerate(sheet.text.splitlines(), 1):
        if not line.startswith("#SBATCH"):
            ended = ended or bool(line.strip()) and not line.startswith("#")
            continue
        where = f"{sheet.file}:{number}:1"
        if ended:
            what = "Slurm does not read #SBATCH below the first command"
            found.add("E383", where, what, "move it up")
        for option in re.finditer(r"(?:^|\s)--?([\w-]+)(?:[= ]\s*([^\s-]\S*))?", line.partition(" #")[0][7:]):
            name = _SHORT.get(option[1], option[1])
            if name not in known:
                found.add("E381", where, f"unknown option '--{name}'", did_you_mean(name, known))
            if not ended:
                options[name] = (option[2] or "", where)
    return options


def _signal(sheet: Sheet, options: dict[str, tuple[str, str]], found: Findings) -> None:
    top = f"{sheet.file}:1:1"
    value, where = options.get("signal", ("", top))
    warned = re.fullmatch(r"B:(?:SIG)?USR1@(\d+)", value)
    if not warned or int(warned[1]) < 60:
        what = "the search is not told before its time is over" if not value else f"--signal={value} comes too late"
        found.add("E387", where, what, "write #SBATCH --signal=B:USR1@120")
    code = "\n".join(line for line in sheet.text.splitlines() if not line.lstrip().startswith("#"))
    if "gxsearch" not in code:
        found.add("E382", top, "the script runs no gxsearch", "see cluster/slurm/gxsearch.sbatch")
    elif not re.search(r"\bexec\s+gxsearch\b|\btrap\b[^\n]*\bUSR1\b", code):
        fix = "write exec gxsearch ..., or trap 'kill -USR1 $search' USR1, as cluster/slurm/gxsearch.sbatch does"
        found.add("E387", top, "the signal ends the script and not the search", fix)
    elif "SLURM_RESTART_COUNT" not in code or "gxsearch resume" not in code:
        fix = "when SLURM_RESTART_COUNT is above 0: gxsearch resume RUN"
        found.add("E387", top, "a job that is started again begins anew", fix)
    elif not re.search(r"\bexec\s+gxsearch\b|scontrol\s+requeue", code):
        found.add("E387", top, "exit code 75 puts no job back in the queue", 'add: scontrol requeue "$SLURM_JOB_ID"')


def _commands(sheet: Sheet, found: Findings) -> None:
    given: set[str] = set()
    text, at = "", 0
    for number, line in enumerate(sheet.text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if re.search(r"\bexport\b.*\bRAY_AUTH_MODE=token\b", line):
            given.add("token")
        if re.search(r"\bexport\b.*\bRAY_USAGE_STATS_ENABLED=0\b", line):
            given.add("quiet")
        text, at = (text + line, at) if text else (line, number)
        if line.endswith("\\"):
            text = text[:-1] + " "
            continue
        shell.check(text, f"{sheet.file}:{at}:1", found, given=frozenset(given))
        text = ""
    if text:
        shell.check(text, f"{sheet.file}:{at}:1", found, given=frozenset(given))
    token = "RAY_AUTH_TOKEN_PATH" in sheet.text or "get-auth-token" in sheet.text or "auth_token" in sheet.text
    if re.search(r"^[^#\n]*\bray start\b", sheet.text, re.MULTILINE) and not (token and _private(sheet.text)):
        what = "the token may be read by others" if token else "the nodes are given no token"
        fix = "write umask 077 and: ray get-auth-token --generate > /dev/null"
        found.add("E832", f"{sheet.file}:1:1", what, fix)


def _private(text: str) -> bool:
    return re.search(r"^\s*(umask 0?077|chmod 0?600 .*auth_token)", text, re.MULTILINE) is not None
