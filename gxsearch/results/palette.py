"""Palette: colors that color-blind readers tell apart, and the look that all figures share."""

from __future__ import annotations

import itertools

import numpy as np

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222",
)  # fmt: skip
CATEGORIES = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, BLACK, "#9A8B00")
"""Okabe and Ito 2008, their yellow darkened: it would not be seen on white."""
SHAPES = {"circle": "●", "diamond": "◆", "triangle-up": "▲", "square": "■", "cross": "✚"}
MARKS = {"circle": "o", "diamond": "D", "triangle-up": "^", "square": "s", "cross": "P"}
"""The shapes as matplotlib calls them."""
RANKS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)
STATES = {
    "complete": (BLUE, "circle"),
    "stopped": ("#7A8794", "circle-open"),
    "interrupted": ("#7A8794", "square-open"),
    "running": (SKY, "diamond-open"),
    "diverged": (VERMILION, "triangle-up"),
    "failed": (VERMILION, "x"),
}
FAINT, GRID, INK, MISSING = "#B8C0C8", "#E8EBEE", "#1F2933", "#B8B8B8"
SCALE = "Cividis"
DIVERGING = [[0.0, "#2166AC"], [0.25, "#92C5DE"], [0.5, "#F7F7F7"], [0.75, "#F4A582"], [1.0, "#B2182B"]]
"""From -1 through 0 to 1 (ColorBrewer RdBu)."""
SHARES = [[0.0, "#F7F9FB"], [0.1, "#DCE9F4"], [0.5, "#6BAED6"], [1.0, "#0072B2"]]
"""From none to all."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MOST = len(CATEGORIES) * len(SHAPES)


def styles(labels: np.ndarray) -> dict[str, tuple[str, str]]:
    """Return a color and a shape per label; the rarest labels beyond 40 share one gray.

    The most frequent labels come first and the colors go round first, so that the eight largest classes differ by
    color alone.
    """
    names, times = np.unique(labels.astype(str), return_counts=True)
    by_size = names[np.argsort(-times, kind="stable")].tolist()
    looks = dict(zip(by_size, itertools.product(SHAPES, CATEGORIES), strict=False))
    return {name: looks[name][::-1] if name in looks else (MISSING, "circle") for name in names.tolist()}
