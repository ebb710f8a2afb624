"""Card: what an exported model says of itself, in the form of the cards of a Hugging Face hub; only what is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gxsearch.data.counts import CountsView
from gxsearch.data.graph import GraphView
from gxsearch.data.tokens import TokensView
from gxsearch.models import registry
from gxsearch.models.base import Decodes
from gxsearch.results import page
from gxsearch.results.evaluation import meaning
from gxsearch.results.package import Package
from gxsearch.results.verdict import nouns
from gxsearch.training.session import exported_weights

Row = Sequence[str]


def card(found: Package, baselines: Sequence[dict[str, Any]] = ()) -> str:
    """Return the model card: Markdown with a YAML head.

    Args:
        baselines: rows of the classical methods of the same run: ``name`` and measures.
    """
    kind = registry.get(found.name)
    own = {name: value for name, value in found.metrics.items() if _is_number(value)}
    return page.template("model_card.md").render(
        p=found,
        measures=own,
        source=shown(found.facts.get("source") or found.data.path),
        read={**found.data.model_dump(mode="json"), "path": shown(found.data.path)},
        tables={part: _beside(own, baselines, part) for part in ("val", "test")},
        glossary=[[name, meaning(name)] for name in own if meaning(name)],
        about=f"{registry.summary(kind)}.",
        reference=kind.reference,
        details=_details(found),
        data=_data(found),
        told=told(found),
        seen=seen(found),
        turned=found.turned or type(found.view).axis == "var",
        decodes=isinstance(found.model, Decodes) and not isinstance(found.view, GraphView),
        batches=list(found.view.categories) if isinstance(found.view, CountsView) else [],
        versions=[list(pair) for pair in found.origin["versions"].items()],
    )


def _beside(own: dict[str, float], baselines: Sequence[dict[str, Any]], part: str) -> tuple[list[str], list[Row]]:
    """Return head and rows of a table: a measure a row, the model first, then the classical methods that have any."""
    names = [name for name in own if name.startswith(f"{part}/")]
    others = [row for row in baselines if any(_is_number(row.get(name)) for name in names)]
    head = ["measure", "this model", *(row["name"] for row in others)]
    figures = ([own[name], *(row.get(name) for row in others)] for name in names)
    return head, [[name, *map(page.number, values)] for name, values in zip(names, figures, strict=True)]


def _details(found: Package) -> list[Row]:
    kind, job, origin = registry.get(found.name), found.job, found.origin
    n_weights = sum(tensor.numel() for tensor in exported_weights(kind, found.weights).values())
    return [
        ["architecture", found.name],
        ["weights", page.number(n_weights)],
        ["reads", f"{len(found.genes):,} {'samples' if found.turned else 'genes'}"],
        ["run", f"{origin['name']} ({origin['run']})"],
        ["trial", f"{origin['trial']} ({origin['state']})"],
        ["epoch", f"{found.record['epoch']} of at most {job.epochs}, the best by {job.metric} ({job.mode})"],
        ["seed", str(job.seed)],
    ]


def _data(found: Package) -> list[Row]:
    """Return what is known of the training data and the split; what is not known is left out."""
    facts, split = found.facts, found.data.split
    parts = ", ".join(f"{n:,} {part}" for part, n in facts.get("split", {}).items())
    how = f"by {split.group}" if split.group else "row by row"
    how += f", in {split.tiles} tiles a side" if split.tiles else ""
    how += f", stratified by {split.stratify}" if split.stratify else ""
    row, column = nouns(found.data.model_dump())
    rows = [
        [row, parts],
        [column, f"{facts['n_vars']:,}" if "n_vars" in facts else ""],
        ["genes in the file", f"{facts['n_genes_before']:,}" if facts.get("n_genes_before") else ""],
        ["values", f"{facts.get('layer') or 'X'}, then {', '.join(facts.get('transform', [])) or 'as they are'}"],
        ["split", f"{how}, seed {split.seed}"],
        ["sha256 of the values", facts.get("sha256")],
        ["sha256 of the split", facts.get("split_sha256")],
        ["label", f"{facts['label']} ({len(facts.get('classes', {}))} classes)" if facts.get("label") else ""],
    ]
    return [[name, str(value)] for name, value in rows if value]


def told(found: Package) -> list[str]:
    """Return the columns whose values the model was told in training, beside the expression."""
    view = found.job.view_config
    names = [view.get(key) for key in ("classes", "probabilities", "group", "section")]
    names += [*view.get("phenotypes", []), *found.data.batch, found.data.time, found.data.spatial]
    return [str(name) for name in dict.fromkeys(names) if name]


def seen(found: Package) -> str:
    """Return a sentence on what of the held-out rows the training saw; empty where it saw nothing of them."""
    if isinstance(found.view, GraphView) and found.job.view_config.get("neighbors", "all") == "all":
        return "The features of held-out spots, not their labels, were seen by their neighbors in training."
    if found.data.split.group is None and isinstance(found.view, TokensView | CountsView):
        return "Rows were held out one by one: of a donor with several cells some may be on both sides, which flatters."
    return ""


def shown(path: str) -> str:
    """Return the name of a data set, which a card may tell; not where on somebody's machine it lies."""
    return Path(path).name if Path(path).is_absolute() else path


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
