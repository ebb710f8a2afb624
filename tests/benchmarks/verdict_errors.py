"""How often a verdict is wrong: simulated comparisons with a planted tie, or a planted winner, through the real probes.

    python tests/benchmarks/verdict_errors.py --n 200

Each comparison has rows of its own, of six classes; each architecture a map of its own of what the rows are, with
noise of its own for every row and a little more in every training. Two equal ones are a tie; the winner has less noise.
"""

from __future__ import annotations

import argparse

import numpy as np

from gxsearch.results.judgment import Candidate, judge
from gxsearch.results.paired import LEVEL, over_trainings
from gxsearch.training.probes import Yardstick

SHARES = (0.35, 0.25, 0.15, 0.1, 0.1, 0.05)


def vectors(truth_nk: np.ndarray, noise: float, trainings: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return what an architecture makes of rows, one a training."""
    turn = np.linalg.qr(rng.normal(size=(truth_nk.shape[1], truth_nk.shape[1])))[0]
    own = truth_nk @ turn + noise * rng.normal(size=truth_nk.shape)
    return [own + 0.3 * noise * rng.normal(size=truth_nk.shape) for _ in range(trainings)]


def compared(
    seed: int, noises: tuple[float, float], *, measure: str = "knn", trainings: int = 3, test: int = 150
) -> tuple[str, bool]:
    """Return what is said of the first of two architectures, and whether trainings alone would tell them apart."""
    rng = np.random.default_rng(seed)
    part_n = np.repeat(np.array([0, 1, 2], np.int8), [400, test, test])
    label_n = rng.choice(len(SHARES), len(part_n), p=SHARES)
    truth_nk = rng.normal(size=(len(SHARES), 8))[label_n] * 1.2 + 0.6 * rng.normal(size=(len(part_n), 8))
    ruler = Yardstick(part_n, label_n=label_n)
    found = []
    for name, noise in zip("ab", noises, strict=True):
        rows = [ruler.by_row(z, "test", measure) for z in vectors(truth_nk, noise, trainings, rng)]
        values = np.array([row.value for row in rows])
        found.append(Candidate(name, 1, values, np.stack([row.scores for row in rows]), rows[0].weights))
    naive = over_trainings((found[0].values - found[1].values).tolist())
    return judge(found, "max").others[0].called, naive.p is not None and naive.p < LEVEL


def rates(n: int, noises: tuple[float, float], **how: int | str) -> dict[str, float]:
    """Return the shares of verdicts: better, worse, tie; and naive: told apart by trainings alone."""
    found = [compared(seed, noises, **how) for seed in range(n)]
    told = {word: np.mean([called == word for called, _ in found]) for word in ("better", "worse", "tie")}
    return {**{word: float(share) for word, share in told.items()}, "naive": float(np.mean([x for _, x in found]))}


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--trainings", type=int, default=3)
    given = parser.parse_args()
    for measure in ("knn", "logreg"):
        for test in (150, 600):
            for name, noises in {"tie": (1.0, 1.0), "winner": (1.0, 1.4), "clear winner": (1.0, 2.0)}.items():
                told = rates(given.n, noises, measure=measure, trainings=given.trainings, test=test)
                print(f"{measure:7} {test} test rows  {name:13}", "  ".join(f"{k} {v:.3f}" for k, v in told.items()))


if __name__ == "__main__":
    main()
