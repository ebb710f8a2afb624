"""Judgment: which of several candidates is better, how sure that is, and which to take, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gxsearch.results.page import number
from gxsearch.results.paired import Difference, called, holm, over_trainings, over_trainings_and_rows


@dataclass(frozen=True)
class Candidate:
    """What was measured of a candidate over the trainings that all candidates share.

    Attributes:
        name: trial 17, fe, pca-20.
        size: numbers that it is made of: weights.
        values: the measure, one per training; of a method without a seed the same each time (s,).
        score_sr: the measure of each held-out row, up to weights (s, r); None where it is no mean over rows.
        weight_r: the weight of each row (r,).
    """

    name: str
    size: int
    values: np.ndarray
    score_sr: np.ndarray | None = None
    weight_r: np.ndarray | None = None


@dataclass(frozen=True)
class Against:
    """The leader beside another candidate; a positive difference is for the leader."""

    name: str
    difference: Difference
    p: float | None
    called: Literal["better", "worse", "tie"]


@dataclass(frozen=True)
class Judgment:
    """Who leads, beside all others; and whom to take: the smallest of those that cannot be told from the leader."""

    leader: str
    others: list[Against]
    choice: str
    sentences: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        pairs = [
            {"name": a.name, "called": a.called, "p": a.p, "p_alone": a.difference.p, **_numbers(a.difference)}
            for a in self.others
        ]
        return {"leader": self.leader, "choice": self.choice, "pairs": pairs, "sentences": self.sentences}


def judge(candidates: Sequence[Candidate], mode: str, *, overlap: float = 0.0) -> Judgment:
    """Compare the first candidate, the leader, with each of the others.

    By rows and trainings where the measure is a mean over rows, else by trainings alone; p values are corrected for
    the number of the others. `overlap` as in `paired.over_trainings`.
    """
    leader, *others = candidates
    found = {other.name: _difference(leader, other, 1.0 if mode == "max" else -1.0, overlap) for other in others}
    corrected = holm({name: difference.p for name, difference in found.items()})
    against = [Against(name, d, corrected[name], called(d, corrected[name])) for name, d in found.items()]
    ties = [other for other, a in zip(others, against, strict=True) if a.called == "tie"]
    beaten = [a for a in against if a.called == "worse"]
    choice = min([leader, *ties], key=lambda candidate: candidate.size).name
    if beaten:
        choice = min(beaten, key=lambda a: a.difference.mean).name
    return Judgment(leader.name, against, choice, _sentences(leader, against, choice))


def _difference(one: Candidate, other: Candidate, sign: float, overlap: float) -> Difference:
    if one.score_sr is not None and other.score_sr is not None:
        return over_trainings_and_rows(sign * (one.score_sr - other.score_sr), one.weight_r)
    return over_trainings((sign * (one.values - other.values)).tolist(), overlap=overlap)


def _sentences(leader: Candidate, against: Sequence[Against], choice: str) -> list[str]:
    lines = [f"{leader.name} is better than {a.name}: {_by(a)}." for a in against if a.called == "better"]
    lines += [f"{a.name} is better than {leader.name} after all: {_by(a)}." for a in against if a.called == "worse"]
    ties = [a for a in against if a.called == "tie"]
    if ties:
        names = listed([leader.name, *(a.name for a in ties)])
        take = f"take {choice}, the smallest" if choice in (leader.name, *(a.name for a in ties)) else ""
        lines.append(f"{names} cannot be told apart" + (f"; {take}." if take else "."))
        lines += [f"{leader.name} beside {a.name}: {_by(a)}." for a in ties]
    return [f"Trial{line.removeprefix('trial')}" if line.startswith("trial ") else line for line in lines]


def _by(against: Against) -> str:
    d = against.difference
    parts = [f"by {number(abs(d.mean), 3)}" if against.called != "tie" else f"a difference of {number(d.mean, 2)}"]
    if d.low is not None:
        ends = (d.low, d.high) if against.called != "worse" else (-d.high, -d.low)
        parts.append(f"95 % interval {number(ends[0], 2)} to {number(ends[1], 2)}")
    parts.append(_chance(against.p))
    if d.effect is not None and against.called != "tie":
        parts.append(f"{abs(d.effect):.1f} standard deviations of trainings")
    return ", ".join(part for part in parts if part)


def _chance(p: float | None) -> str:
    if p is None:
        return "one training, so no chance can be told"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _numbers(d: Difference) -> dict[str, Any]:
    fields = ("mean", "low", "high", "effect", "seeds", "rows")
    return {("difference" if name == "mean" else name): getattr(d, name) for name in fields}
