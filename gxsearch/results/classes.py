"""Classes: what a model that names the classes of rows adds to an AnnData."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from gxsearch.data.table import Table
from gxsearch.results.package import Package


def add(adata: AnnData, found: Package, table: Table, names: Sequence[str]) -> None:
    """Add the class of each row of a table that is likeliest, the probabilities of all (n, c), and their names.

    These are obs["<model>_prediction"], obsm["<model>_probabilities"] and uns["<model>_classes"]; without `names`, of
    a model that was told no classes, nothing.
    """
    if not names:
        return
    with torch.no_grad():
        batches = found.view.cut(table, next(found.model.parameters()).device)
        chance_nc = torch.cat([found.model.classify(batch).cpu() for batch in batches]).numpy()
    classes = np.array(names, dtype=object)
    adata.obs[f"{found.key}_prediction"] = pd.Categorical(classes[chance_nc.argmax(1)], categories=classes)
    adata.obsm[f"{found.key}_probabilities"] = chance_nc
    adata.uns[f"{found.key}_classes"] = classes
