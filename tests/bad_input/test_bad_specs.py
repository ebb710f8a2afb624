"""Search space files of the real models that must not start a trial; the line at fault is marked by its code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from case import Home, cells

HEAD = "gxsearch: 1\nname: case\n"
FE = HEAD + "model: fe\ndata: {path: cells.h5ad}\n"
END = "budget: {trials: 2, epochs: 2}\n"

FAULTY = {
    # sections
    "no file format": "name: case #! E302\nmodel: fe\ndata: {path: cells.h5ad}\n" + END,
    "another format": "gxsearch: 7 #! E303\nname: case\nmodel: fe\ndata: {path: cells.h5ad}\n" + END,
    "a format in quotes": "gxsearch: '1' #! E303\nname: case\nmodel: fe\ndata: {path: cells.h5ad}\n" + END,
    "a section misspelt": FE + END + "resorces: {cpus: 1} #! E301\n",
    "a section twice": FE + END + "budget: {trials: 3, epochs: 2} #! E305\n",
    "a name with a slash": "gxsearch: 1\nname: a/b #! E303\nmodel: fe\ndata: {path: cells.h5ad}\n" + END,
    "a name that climbs": "gxsearch: 1\nname: .. #! E303\nmodel: fe\ndata: {path: cells.h5ad}\n" + END,
    "a name of a device": "gxsearch: 1\nname: 'con:' #! E303\nmodel: fe\ndata: {path: cells.h5ad}\n" + END,
    "a name too long": f"gxsearch: 1\nname: {'a' * 64} #! E303\nmodel: fe\ndata: {{path: cells.h5ad}}\n" + END,
    "a name in capitals": "gxsearch: 1\nname: Case #! E303\nmodel: fe\ndata: {path: cells.h5ad}\n" + END,
    "no such model": HEAD + "model: vea #! E310\ndata: {path: cells.h5ad}\n" + END,
    "two models": HEAD + "model: [fe, vae] #! E303\ndata: {path: cells.h5ad}\n" + END,
    "data that is a path": HEAD + "model: fe\ndata: cells.h5ad #! E303\n" + END,
    # YAML
    "a bracket left open": FE + "space:\n  model: {sample_dim: {int: [2, 4]}\n" + "budget: {trials: 2} #! E304\n",
    "a tab": FE + "space:\n\tmodel: {} #! E304\n" + END,
    "a tag that runs code": FE + "search: !!python/object/apply:os.system [ls] #! E304\n" + END,
    "a colon too many": FE + "search: {seed: 1: 2} #! E304\n" + END,
    "an alias of nothing": FE + "search: *a #! E306\n" + END,
    "an alias of itself": FE + "search: &a [*a] #! E306\n" + END,
    "two documents": FE + END + "--- #! E304\ngxsearch: 1\n",
    # data
    "a setting of data misspelt": HEAD + "model: fe\ndata:\n  path: cells.h5ad\n  lable: kind #! E301\n" + END,
    "a transform that there is not": HEAD + "model: fe\ndata:\n  path: cells.h5ad\n  transform: [log] #! E303\n" + END,
    "a share above one": HEAD + "model: fe\ndata:\n  path: cells.h5ad\n  split: {val: 1.5} #! E303\n" + END,
    "a negative share": HEAD + "model: fe\ndata:\n  path: cells.h5ad\n  split: {val: -0.1} #! E303\n" + END,
    "one gene": HEAD + "model: fe\ndata:\n  path: cells.h5ad\n  genes: {top_variable: 1} #! E303\n" + END,
    "genes by half": HEAD + "model: fe\ndata:\n  path: cells.h5ad\n  genes: {top_variable: 2.5} #! E303\n" + END,
    "a batch that is no list": HEAD + "model: nbvae\ndata:\n  path: cells.h5ad\n  batch: batch #! E303\n" + END,
    "a view of another model": HEAD + "model: fe\ndata:\n  path: cells.h5ad\n  view: {classes: kind} #! E301\n" + END,
    "a variable that is not set": HEAD + "model: fe\ndata:\n  path: ${NO_SUCH_VARIABLE}/x.h5ad #! E323\n" + END,
    "data that are searched": FE + "space:\n  data: {label: {choice: [a, b]}} #! E320\n" + END,
    "an orientation of RVAgene": HEAD + "model: rvagene\ndata:\n  path: cells.h5ad\n  time: time\n  orientation: samples #! E303\n" + END,
    # objective
    "a measure misspelt": FE + "objective: {metric: val/entry_mze} #! E311\n" + END,
    "a measure of another model": FE + "objective: {metric: val/elbo} #! E311\n" + END,
    "a measure of test rows": FE + "objective: {metric: test/recon_r2} #! E311\n" + END,
    "the wrong way": FE + "objective: {metric: val/entry_mse, mode: max} #! E311\n" + END,
    "a probe without labels": HEAD + "model: vae\ndata: {path: cells.h5ad}\nobjective: {metric: val/knn} #! E311\n" + END,
    "a probe without batches": HEAD + "model: fe\ndata: {path: cells.h5ad, label: kind}\nobjective: {metric: val/lobo} #! E311\n" + END,
    "a probe of values of a model that has none": HEAD + "model: nbvae\ndata: {path: cells.h5ad}\nobjective: {metric: val/imputation_r2} #! E311\n" + END,
    "a probe the wrong way": HEAD + "model: fe\ndata: {path: cells.h5ad, batch: [lab]}\nobjective: {metric: val/batch_knn, mode: max} #! E311\n" + END,
    "a measure of classes that are not told": HEAD + "model: nbvae\ndata: {path: cells.h5ad}\nobjective: {metric: val/accuracy} #! E311\n" + END,
    # space
    "a setting misspelt": FE + "space:\n  model:\n    sampel_dim: 3 #! E301\n" + END,
    "a setting of another group": FE + "space:\n  model:\n    lr: 0.1 #! E301\n" + END,
    "a setting of no group": FE + "space:\n  sample_dim: 3 #! E301\n" + END,
    "ends in the wrong order": FE + "space:\n  model:\n    sample_dim: {int: [8, 2]} #! E320\n" + END,
    "the same ends": FE + "space:\n  model:\n    sample_dim: {int: [2, 2]} #! E320\n" + END,
    "an end beyond the bounds": FE + "space:\n  model:\n    sample_dim: {int: [0, 8]} #! E303\n" + END,
    "whole numbers by half": FE + "space:\n  model:\n    sample_dim: {float: [2, 8]} #! E303\n" + END,
    "a logarithm of zero": FE + "space:\n  train:\n    lr: {float: [0, 0.1], log: true} #! E320\n" + END,
    "a step that does not fit": FE + "space:\n  model:\n    sample_dim: {int: [2, 9], step: 3} #! E320\n" + END,
    "a step of a logarithm": FE + "space:\n  model:\n    sample_dim: {int: [2, 8], log: true, step: 2} #! E320\n" + END,
    "an endless end": FE + "space:\n  train:\n    lr: {float: [0.1, .inf]} #! E320\n" + END,
    "an end that is NaN": FE + "space:\n  train:\n    lr: {float: [.nan, 0.1]} #! E320\n" + END,
    "no options": FE + "space:\n  model:\n    head: {choice: []} #! E320\n" + END,
    "an option twice": FE + "space:\n  model:\n    head: {choice: [linear, linear]} #! E320\n" + END,
    "an option misspelt": FE + "space:\n  model:\n    head: {choice: [linear, sigmoid_rnage]} #! E303\n" + END,
    "a word for a choice": FE + "space:\n  model:\n    head: {choice: linear} #! E320\n" + END,
    "a bare list": FE + "space:\n  model:\n    sample_dim: [2, 4] #! E320\n" + END,
    "Ray's words": FE + "space:\n  train:\n    lr: {loguniform: [1e-4, 1e-1]} #! E320\n" + END,
    "a condition of nothing": FE + "space:\n  model:\n    range_pad: {float: [0, 0.5], when: {haed: linear}} #! E321\n" + END,
    "a condition that never holds": FE + "space:\n  model:\n    head: {choice: [linear, sigmoid_range]}\n    range_pad: {float: [0, 0.5], when: {head: sigmoid}} #! E321\n" + END,
    "a list of no widths": HEAD + "model: vae\ndata: {path: cells.h5ad}\nspace:\n  model:\n    hidden: {value: []} #! E303\n" + END,
    "a width below one": HEAD + "model: nbvae\ndata: {path: cells.h5ad}\nspace:\n  model:\n    hidden: {value: [0]} #! E303\n" + END,
    "dropout of everything": HEAD + "model: vae\ndata: {path: cells.h5ad}\nspace:\n  model:\n    dropout: 1.0 #! E303\n" + END,
    # search, stop, budget, resources
    "a sampler misspelt": FE + "search: {sampler: teppe} #! E303\n" + END,
    "a seed below zero": FE + "search: {seed: -3} #! E303\n" + END,
    "a start that is outside": FE + "space:\n  model: {sample_dim: {int: [2, 4]}}\nsearch: {start: [{sample_dim: 9}]} #! E322\n" + END,
    "a start of something fixed": FE + "space:\n  model: {sample_dim: 3}\nsearch: {start: [{sample_dim: 9}]} #! E322\n" + END,
    "a grid of real numbers": FE + "space:\n  train:\n    lr: {float: [1e-3, 1e-1]} #! E320\nsearch: {sampler: grid}\n" + END,
    "a rule misspelt": FE + "stop: {ahsa: {grace: 1}} #! E303\n" + END,
    "two rules": FE + "stop: {asha: {}, median: {}} #! E303\n" + END,
    "a reduction of one": FE + "stop: {asha: {grace: 1, reduction: 1}} #! E303\n" + END,
    "grace beyond the epochs": FE + "stop: {asha: {grace: 2}} #! E325\n" + END,
    "no trials": FE + "budget: {trials: 0, epochs: 2} #! E303\n",
    "no epochs": FE + "budget: {trials: 2} #! E302\n",
    "no end": FE + "budget: {epochs: 2} #! E302\n",
    "trials by half": FE + "budget: {trials: 2.5, epochs: 2} #! E303\n",
    "a time without a unit": FE + "budget: {time: 90, epochs: 2} #! E303\n",
    "a budget of more than there is": FE + "budget: {trials: 2, epochs: 2, tokens: 9} #! E301\n",
    "CPUs below zero": FE + END + "resources: {cpus: -1} #! E303\n",
    "no workers": FE + END + "resources: {workers: 0} #! E303\n",
    "half a GPU for two": FE + END + "resources: {workers: 2, gpus: 0.5} #! E303\n",
    "none at once": FE + END + "resources: {concurrent: 0} #! E303\n",
    "what comes first is not there": FE + "first: nowhere.yaml #! E326\n" + END,
    "nothing comes first": HEAD + "model: spatial\ndata:\n  path: cells.h5ad\n  spatial: spatial\n  view: {features: first} #! E326\n" + END,
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTY)
def test_a_faulty_file_is_refused_at_its_line(home: Home, case: str):
    lines = FAULTY[case].splitlines()
    (at,) = [i for i, line in enumerate(lines, 1) if "#!" in line]
    code = lines[at - 1].split("#! ")[1]
    Path("case.yaml").write_text("\n".join(line.split(" #!")[0] for line in lines) + "\n")

    found = home.refused("check", "--no-data", "case.yaml")

    assert any(got == code and f" case.yaml:{at}:" in line for got, line in found), found
    assert all(" - " in line for got, line in found if got == "E301"), "what is unknown comes with what is known"


WHOLE = {
    "empty": b"",
    "a list": b"- 1\n- 2\n",
    "a word": b"fe\n",
    "no UTF-8": b"name: \xff\n",
    "a NUL": b"name: a\0b\n",
    "too large": b"#" * 300_000,
    "too deep": b"a: " + b"[" * 500,
    "a bomb of aliases": b"a: &a [1,1,1,1,1,1,1,1,1]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("k"))),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", WHOLE)
def test_a_file_that_is_no_search_space_is_refused_as_a_whole(home: Home, case: str):
    Path("case.yaml").write_bytes(WHOLE[case])

    found = home.refused("check", "--no-data", "case.yaml")

    assert found[0][0] in ("E304", "E306", "E307") and "case.yaml" in found[0][1]


TYPOS = [
    "sampl_dim",
    "sample_dm",
    "smaple_dim",
    "hiden",
    "hiddenn",
    "heads",
    "range_pda",
    "init_sdt",
    "gene_bais",
    "gene_dmi",
]


@pytest.mark.parametrize("typo", TYPOS)
def test_a_misspelt_setting_is_told_with_the_right_one(home: Home, typo: str):
    Path("case.yaml").write_text(FE + f"space:\n  model:\n    {typo}: 3\n" + END)

    ((code, line),) = home.refused("check", "--no-data", "case.yaml")

    meant = {"s": "sample_dim", "h": "h", "r": "range_pad", "i": "init_std", "g": "gene_"}[typo[0]]
    assert code == "E301" and f"did you mean '{meant}" in line


def test_a_spec_and_its_data_are_checked_without_ray(home: Home):
    cells().write_h5ad("cells.h5ad")
    told = (
        f"import sys; from gxsearch.cli import main; main(['check', '{home.spec()}']); assert 'ray' not in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_a_check_of_the_file_alone_imports_neither_ray_nor_what_reads_data(home: Home):
    slow = ["ray", "optuna", "anndata", "pandas", "sklearn", "scipy.stats", "matplotlib", "plotly"]
    told = f"import sys; from gxsearch.cli import main; main(['check', '--no-data', '{home.spec()}']); assert not {slow} & sys.modules.keys()"
    told = told.replace("not [", "not {").replace("] &", "} &")

    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
