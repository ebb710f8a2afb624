"""What is refused in a search space file, where, and in which words."""

from __future__ import annotations

import re

import pytest
from spec_model import BASE, ToySpecModel, edited, faults_of, write

from gxsearch.config import knob
from gxsearch.search.spec import load

FAULTY = [
    # sections
    ("gxsearch", "gxsearch: 2", "E303", "format version is 2"),
    ("gxsearch", "gxsearch: true", "E303", "format version is True"),
    ("name", "name: ../x", "E303", "'../x' is no name"),
    ("name", "name: Toy Run", "E303", "is no name"),
    ("name", "name: 12", "E303", "12 is no name"),
    ("model", "model: toy_spek", "E310", "did you mean 'toy_spec'?"),
    ("model", "model: 3", "E303", "3 is no model"),
    ("name", "name: toy-run\nbugdet: {trials: 3} #!", "E301", "did you mean 'budget'?"),
    # data
    ("path", "label: x", "E302", "'data.path' is missing"),
    ("path", "path: x.h5ad\nlabl: tissue #!", "E301", "did you mean 'label'?"),
    ("path", "path: 3", "E303", "'data.path' must be text, got 3"),
    ("split", "split: {val: 1.5}", "E303", "'data.split.val' must be < 1, got 1.5"),
    ("split", "split: {vall: 0.5}", "E301", "did you mean 'val'?"),
    ("split", "transform: [log2]", "E303", "did you mean 'log2p1'?"),
    ("split", "genes: {top_variable: 0.5}", "E303", "must be a whole number"),
    ("split", "genes: [a]", "E303", "'data.genes'"),
    ("split", "view: {bin: 3}", "E301", "unknown setting 'data.view.bin' - did you mean 'bins'?"),
    ("split", "view: {bins: 1}", "E303", "'data.view.bins' must be >= 2, got 1"),
    ("split", "label: ${HOME}", "E323", "data.path and data.genes.file only"),
    ("path", "path: ${GX_NO_SUCH_VARIABLE}/x", "E323", "no variable GX_NO_SUCH_VARIABLE"),
    # objective
    ("objective", "objective: {metric: val/los}", "E311", "did you mean 'val/loss'?"),
    ("objective", "objective: {metric: loss}", "E311", "did you mean 'val/loss'?"),
    ("objective", "objective: {metric: val/loss, mode: max}", "E311", "contradicts val/loss"),
    ("objective", "objective: {metric: val/loss, mode: mni}", "E303", "did you mean 'min'?"),
    ("objective", "objective: {mode: min}", "E302", "'objective.metric' is missing"),
    ("objective", "objective: []", "E303", "a search has one to 3 objectives, got 0"),
    ("objective", "objective: [{metric: val/loss}, {metric: val/loss}]", "E303", "'val/loss' is named twice"),
    ("objective", "objective: [{metric: val/loss}, {metric: val/r3}]", "E311", "did you mean 'val/r2'?"),
    ("objective", "objective: [{metric: val/loss}, {metric: val/r2, mode: min}]", "E311", "contradicts val/r2"),
    ("objective", "objective: [{metric: val/loss}, val/r2]", "E303", "must be a group of settings"),
    ("objective", "objective: [{metric: val/loss}, {mode: max}]", "E302", "'objective.1.metric' is missing"),
    ("objective", "objective: [{metric: val/loss}, {metric: val/ilisi}]", "E311", "val/ilisi needs batches"),
    ("objective", "objective: {metric: val/loss}\nchoose: knee #!", "E303", "nothing to choose"),
    ("objective", "objective: [{metric: val/loss}, {metric: val/r2}]\nchoose: nee #!", "E303", "write first, knee or"),
    ("objective", "objective: [{metric: val/loss}, {metric: val/r2}]\nchoose: {within: 2} #!", "E303", "must be <= 1"),
    ("objective", "objective: val/loss", "E303", "must be a group of settings"),
    # space: names and groups
    ("width", "widht: {int: [2, 64]}", "E301", "did you mean 'width'?"),
    ("lr", "lr: 0.1\nwidth: {int: [2, 64]} #!", "E301", "it belongs to space.model"),
    ("space", "space:\n  data: {label: {choice: [a, b]}} #!", "E320", "cannot be searched"),
    ("space", "space:\n  lr: {float: [1e-4, 1e-1]} #!", "E301", "write it under space.train"),
    ("space", "space:\n  modle: {width: 3} #!", "E301", "did you mean 'model'?"),
    # space: entries
    ("width", "width: [2, 64]", "E320", "write {choice: [2, 64]} to search, {value: [2, 64]} to fix it"),
    ("width", "width: {int: [64, 2]}", "E320", "low 64 is above high 2"),
    ("width", "width: {int: [2, 2]}", "E320", "both ends are 2"),
    ("width", "width: {int: [2, 64.0]}", "E320", "must be finite whole numbers, got 64.0"),
    ("width", "width: {int: [2]}", "E320", "int takes [low, high], got [2]"),
    ("width", "width: {int: 2}", "E320", "int takes [low, high], got 2"),
    ("width", "width: {int: [2, true]}", "E320", "whole numbers, got True"),
    ("width", "width: {int: [0, 64], log: true}", "E320", "log needs low >= 1, got 0"),
    ("width", "width: {int: [2, 64], step: 4}", "E320", "the last value would be 62"),
    ("width", "width: {int: [2, 64], log: yes}", "E320", "log must be true or false, got 'yes'"),
    ("width", "width: {int: [2, 64], log: true, step: 2}", "E320", "exclude each other"),
    ("width", "width: {int: [2, 64], lgo: true}", "E301", "did you mean 'log'?"),
    ("width", "width: {int: [2, 64], choice: [1, 2]}", "E320", "is both int and choice"),
    ("width", "width: {itn: [2, 64]}", "E320", "did you mean 'int'?"),
    ("width", "width: {}", "E320", "does not say what is searched"),
    ("width", "width: {float: [2, 64]}", "E303", "write {int: [2, 64]}"),
    ("width", "width: {int: [0, 64]}", "E303", "'space.model.width' must be >= 1, got 0"),
    ("width", "width: {int: [2, 1024]}", "E303", "'space.model.width' must be <= 512, got 1024"),
    ("width", "width: wide", "E303", "must be a whole number, got 'wide'"),
    ("width", "width:", "E303", "must be a whole number, got None"),
    ("width", "width: {value: 2.5}", "E303", "must be a whole number, got 2.5"),
    ("width", "width: {value: 2, when: {head: range}}", "E301", "write {choice: [x], when: ...}"),
    ("width", "width: {int: [2, 64], default: 4}", "E320", "for settings with when:"),
    ("head", "head: {choice: []}", "E320", "has no options"),
    ("head", "head: {choice: linear}", "E320", "choice takes a list"),
    ("head", "head: {choice: [linear, range, linear]}", "E320", "lists 'linear' twice"),
    ("head", "head: {choice: [linear, rnage]}", "E303", "did you mean 'range'?"),
    ("pad", "pad: 0.1\nhidden: {choice: [[8], [8, x]]} #!", "E303", "must be a whole number, got 'x'"),
    ("lr", "lr: {float: [0, 0.1], log: true}", "E320", "log needs low > 0, got 0"),
    ("lr", "lr: {float: [1e-4, .inf]}", "E320", "must be finite numbers, got inf"),
    ("lr", "lr: {float: [1e-4, .nan]}", "E320", "must be finite numbers, got nan"),
    ("lr", "lr: {float: ['1e-4', 0.1]}", "E320", "must be finite numbers, got '1e-4'"),
    ("lr", "lr: {float: [0.1, 1], step: 0}", "E320", "step must be a number above 0"),
    ("lr", "lr: {float: [0.1, 1], step: 0.4}", "E320", "the last value would be 0.9"),
    ("lr", "lr: {float: [0.1, 100]}", "E303", "must be <= 10, got 100"),
    ("lr", "lr: 0", "E303", "must be > 0, got 0"),
    # space: words of other tools
    ("lr", "lr: {loguniform: [1e-4, 1e-1]}", "E320", "write {float: [0.0001, 0.1], log: true}"),
    ("lr", "lr: {uniform: [0.1, 1]}", "E320", "write {float: [0.1, 1]}"),
    ("lr", "lr: {min: 1e-4, max: 1e-1}", "E320", "write {float: [0.0001, 0.1]}"),
    ("width", "width: {min: 2, max: 64}", "E320", "write {int: [2, 64]}"),
    ("width", "width: {randint: [2, 64]}", "E320", "write {int: [2, 64]} (both ends included)"),
    ("width", "width: {values: [2, 64]}", "E320", "write {choice: [2, 64]}"),
    ("lr", "lr: {distribution: log_uniform_values, min: 0.1, max: 1}", "E320", "{float: [0.1, 1], log: true}"),
    ("width", "width: {type: int, lower: 2, upper: 64}", "E320", "write {int: [2, 64]}"),
    ("lr", "lr: {float: [0.1, 1], q: 0.1}", "E320", "write {float: [0.1, 1], step: 0.1}"),
    ("lr", "lr: {normal: [0, 1]}", "E320", "no normal or custom distributions"),
    # conditions
    ("pad", "pad: {float: [0, 0.5], when: {head: rnage}}", "E321", "did you mean 'range'?"),
    ("pad", "pad: {float: [0, 0.5], when: {haed: range}}", "E321", "did you mean 'head'?"),
    ("pad", "pad: {float: [0, 0.5], when: {heads: 2}}", "E321", "'heads' is not in this space in when:"),
    ("pad", "pad: {float: [0, 0.5], when: range}", "E321", "when: takes a group"),
    ("pad", "pad: {float: [0, 0.5], when: {pad: 0.1}}", "E321", "model.pad -> model.pad"),
    ("pad", "pad: {float: [0, 0.5], when: {layers: {ge: 5}}}", "E321", "layers >= 5 never occurs"),
    ("pad", "pad: {float: [0, 0.5], when: {layers: 7}}", "E321", "7 never occurs in 'model.layers'"),
    ("pad", "pad: {float: [0, 0.5], when: {layers: {min: 2}}}", "E321", "use ge, gt, le, lt"),
    ("pad", "pad: {float: [0, 0.5], when: {head: {ge: 2}}}", "E321", "holds no numbers to compare"),
    ("layers", "layers: {int: [1, 4], when: {taper: {gt: 0.5}}}", "E321", "go round in a circle"),
    ("pad", "pad: {float: [0, 0.5], when: {taper: {lt: 1}, layers: 1}}", "E321", "exclude each other"),
    ("pad", "pad: {float: [0, 0.5], when: {head: range}, default: 3}", "E303", "must be <= 1, got 3"),
    # what the settings demand together
    ("pad", "heads: {choice: [1, 3]}", "E330", "must divide width"),
    # search
    ("search", "search: {sampler: bayes}", "E303", "'search.sampler' must be 'tpe'"),
    ("search", "search: {sampler: tpee}", "E303", "did you mean 'tpe'?"),
    ("search", "search: {seed: -1}", "E303", "must be >= 0, got -1"),
    ("search", "search: {start: {lr: 0.1}}", "E303", "must be a list"),
    ("search", "search: {start: [{lr: 3}]}", "E322", "outside 0.0001 ... 0.1 log"),
    ("search", "search: {start: [{learning_rate: 3}]}", "E322", "unknown setting 'learning_rate'"),
    ("search", "search: {start: [{widht: 3}]}", "E322", "did you mean 'width'?"),
    ("search", "search: {start: [{head: linear, pad: 0.1}]}", "E322", "it needs head = range"),
    # stop
    ("stop", "stop: {asha: {grace: 10}}", "E325", "grace 10 is not below budget.epochs 10"),
    ("stop", "stop: {asha: {reduction: 1}}", "E303", "'stop.asha.reduction' must be > 1, got 1"),
    ("stop", "stop: {asha: {brackets: 2}}", "E301", "unknown setting 'stop.asha.brackets'"),
    ("stop", "stop: {ahsa: {grace: 2}}", "E303", "did you mean 'asha'?"),
    ("stop", "stop: medain", "E303", "did you mean 'median'?"),
    ("stop", "stop: {asha: {}, median: {}}", "E303", "is no rule for stopping"),
    ("stop", "stop: true", "E303", "True is no rule"),
    # budget and resources
    ("budget", "budget: {trials: 0, epochs: 10}", "E303", "'budget.trials' must be >= 1, got 0"),
    ("budget", "budget: {trials: 2.5, epochs: 10}", "E303", "must be a whole number, got 2.5"),
    ("budget", "budget: {epochs: 10}", "E302", "sets no end"),
    ("budget", "budget: {trials: 3}", "E302", "'budget.epochs' is missing"),
    ("budget", "budget: {time: 10, epochs: 10}", "E303", "10 is no length of time - write 90s, 30m, 12h or 2d"),
    ("budget", "budget: {time: 10min, epochs: 10}", "E303", "'10min' is no length of time"),
    ("budget", "budget: {time: 0s, epochs: 10}", "E303", "'0s' is no length of time"),
    ("budget", "budget: {trials: 3, epocs: 10, epochs: 3}", "E301", "did you mean 'epochs'?"),
    ("budget", "budget: 10", "E303", "'budget' must be a group of settings, got 10"),
    ("resources", "resources: {concurrent: all}", "E303", "must be 'auto' or must be a whole number, got 'all'"),
    ("resources", "resources: {concurrent: 0}", "E303", "must be auto or >= 1, got 0"),
    ("resources", "resources: {workers: 2, gpus: 0.5}", "E303", "a share of a GPU (0.5)"),
    ("resources", "resources: {gpus: lots}", "E303", "must be 'auto' or must be a number, got 'lots'"),
    ("resources", "resources: {gpus: -1}", "E303", "must be auto or >= 0, got -1"),
    ("resources", "resources: {gpu: 1}", "E301", "did you mean 'gpus'?"),
    ("resources", "resources: {cpus: 0}", "E303", "must be > 0, got 0"),
    # YAML
    ("name", "name: toy\nname: again #!", "E305", "'name' is given twice (first in line 2)"),
    ("width", "width: {int: [2, 64]", "E304", "the bracket is opened in line 10"),
    ("width", "\twidth: 3", "E304", "a tab stands where YAML wants spaces"),
    ("name", "name: !!python/object:os.system x", "E304", "is not used here"),
    ("name", "name: &a [*a]", "E306", "refers to itself"),
]


@pytest.mark.parametrize(("key", "new", "code", "said"), FAULTY, ids=[f"{r[2]}-{r[1][:40]}" for r in FAULTY])
def test_faulty_spec_is_refused_at_its_line(tmp_path, key, new, code, said):
    text, line = edited(key, new)
    file = write(tmp_path, text)

    faults = faults_of(file)

    told = [(f.code, int(re.search(r":(\d+):\d+$", f.where)[1])) for f in faults if said in f"{f.what} - {f.fix}"]
    if new == "width: {int: [2, 64]":
        line += 1  # the next line shows that the bracket is open
    assert told[:1] == [(code, line)], [str(f) for f in faults]


@pytest.mark.parametrize("missing", ["gxsearch", "name", "model", "budget"])
def test_a_required_section_is_asked_for(tmp_path, missing):
    text, _ = edited(missing, "")

    faults = faults_of(write(tmp_path, text, "My Search.yaml"))

    assert [f.code for f in faults][:1] == ["E302"]
    if missing == "name":
        assert faults[0].fix == "write name: my-search"


def test_a_required_setting_without_a_value_is_named(tmp_path, monkeypatch):
    class Needy(ToySpecModel.Config):
        depth: int = knob(doc="depth", low=1)

    monkeypatch.setattr(ToySpecModel, "Config", Needy)

    faults = faults_of(write(tmp_path, BASE))
    conditional, _ = edited("pad", "depth: {int: [1, 3], when: {head: range}}")
    sometimes = faults_of(write(tmp_path, conditional))
    always = conditional.replace("{head: range}}", "{head: range}, default: 1}")

    assert "'space.model.depth' has no default" in faults[0].what
    assert "not always active" in sometimes[0].what
    assert load(write(tmp_path, always)).space.configs({})["model"] == {"depth": 1}


def test_a_start_point_that_the_model_refuses_is_told(tmp_path):
    text = BASE.replace("width: {int: [2, 64], log: true}", "width: {int: [2, 62]}\n    heads: 2")

    good = load(write(tmp_path, text))
    (fault,) = faults_of(write(tmp_path, text), ["search.start.0.width=5"])

    assert good.search.start[0]["model.width"] == 4
    assert (fault.code, fault.where.rpartition("yaml:")[2]) == ("E322", "18:41")
    assert "heads 2 must divide width 5" in fault.what


def test_a_grid_needs_values_that_can_be_listed(tmp_path):
    endless = faults_of(write(tmp_path, BASE), ["search.sampler=grid"])
    steps = ["model.taper.step=0.25", "model.pad=0", "train.lr.choice=[0.1, 0.01]", "search={sampler: grid}"]
    listed = load(write(tmp_path, BASE), steps)
    large = faults_of(write(tmp_path, BASE), [*steps, "train.batch_size.int=[1, 100]"])

    assert [f.where.rpartition("yaml:")[2] for f in endless] == ["12:5", "14:5", "16:5"]
    assert all("sampler grid cannot list all of" in f.what for f in endless)
    assert len(listed.space.grid()) == 63 * (1 + 3 * 4) * 2 * 2
    assert "points, more than 10,000" in large[0].what
