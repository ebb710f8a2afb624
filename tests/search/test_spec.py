"""Search space files: what is read, what is refused and where, overrides, round trips."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pydantic
import pytest

from gxsearch.config import Config, knob
from gxsearch.errors import SpecError
from gxsearch.models import registry
from gxsearch.models.base import GeneModel, TrainConfig
from gxsearch.search import spec as spec_module
from gxsearch.search.sections import Budget, Objective, Resources, Stop
from gxsearch.search.spec import Spec, load
from gxsearch.search.yaml_file import excerpt, parse


@registry.register("toy_spec")
class ToySpecModel(GeneModel):
    """A model of settings only; it is never built."""

    class Config(Config):
        width: int = knob(8, doc="width", low=1, high=512)
        heads: int = knob(1, doc="heads; must divide width", low=1)
        layers: int = knob(2, doc="layers", low=1, high=8)
        taper: float = knob(1.0, doc="taper", above=0.0, high=1.0)
        head: Literal["linear", "range"] = knob("linear", doc="output")
        pad: float = knob(0.0, doc="pad of the range", low=0.0, high=1.0)
        hidden: list[int] = knob([8], doc="sizes", min_items=1)
        residual: bool = knob(False, doc="skip connections")

        @pydantic.model_validator(mode="after")
        def _heads_divide(self):
            if self.width % self.heads:
                raise ValueError(f"heads {self.heads} must divide width {self.width}")
            return self

    class Train(TrainConfig):
        optimizer: Literal["adam", "sgd"] = knob("adam", doc="optimizer")
        momentum: float = knob(0.9, doc="of sgd", low=0.0, below=1.0)

    class View:
        class Config(Config):
            bins: int = knob(10, doc="bins", low=2)

    metrics = {"loss": "min", "r2": "max"}
    reference = "none"
    demo = {}

    def __init__(self, config, dims):
        raise AssertionError("a spec is checked without building a model")

    forward = embed = __init__


BASE = """\
gxsearch: 1
name: toy-run
model: toy_spec
data:
  path: x.h5ad
  split: {val: 0.1}
objective: {metric: val/loss}
space:
  model:
    width: {int: [2, 64], log: true}
    layers: {int: [1, 4]}
    taper: {float: [0.25, 1], when: {layers: {ge: 2}}}
    head: {choice: [linear, range]}
    pad: {float: [0.0, 0.5], when: {head: range}}
  train:
    lr: {float: [1e-4, 1e-1], log: true}
search: {sampler: tpe, seed: 3, start: [{width: 4, lr: 1e-2}]}
stop: {asha: {grace: 2, reduction: 3}}
budget: {trials: 40, epochs: 10}
resources: {workers: 1}
"""


def edited(key: str, new: str) -> tuple[str, int]:
    """Return BASE with the line of `key` replaced, and the number of the line marked with #! (or the first)."""
    lines = BASE.splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    put = [indent + line for line in new.split("\n")] if new else []
    marked = next((i for i, line in enumerate(put) if "#!" in line), 0)
    return "\n".join(lines[:at] + put + lines[at + 1 :]) + "\n", at + 1 + marked


def write(tmp_path: Path, text: str, name: str = "toy.yaml") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def faults_of(file: Path, sets=()):
    with pytest.raises(SpecError) as caught:
        load(file, sets)
    return caught.value.faults


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
    ("objective", "objective: [{metric: val/loss}]", "E303", "one objective"),
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


def test_a_good_spec_is_read_completely(tmp_path):
    spec = load(write(tmp_path, BASE))

    assert (spec.name, spec.model, spec.data.path, spec.data.split.val) == ("toy-run", "toy_spec", "x.h5ad", 0.1)
    assert spec.objective == Objective(metric="val/loss", mode="min")
    assert spec.stop == Stop(kind="asha", grace=2, reduction=3.0)
    assert spec.budget == Budget(trials=40, epochs=10, time_s=None)
    assert spec.resources == Resources()
    assert spec.search.start == [{"model.width": 4, "train.lr": 0.01}]
    assert list(spec.space.domains) == [
        "model.width",
        "model.layers",
        "model.taper",
        "model.head",
        "model.pad",
        "train.lr",
    ]
    assert spec.text == BASE.encode()
    assert spec.check_corners() >= 12
    assert spec.notes == []


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172800)])
def test_times_are_read_in_seconds(tmp_path, text, expected):
    spec = load(write(tmp_path, edited("budget", f"budget: {{time: {text}, epochs: 10}}")[0]))

    assert spec.budget.time_s == expected


def test_missing_objective_is_the_first_measure_of_the_model(tmp_path):
    spec = load(write(tmp_path, edited("objective", "")[0]))
    other = load(write(tmp_path, edited("objective", "objective: {metric: val/r2}")[0]))

    assert spec.objective == Objective(metric="val/loss", mode="min")
    assert other.objective.mode == "max"


@pytest.mark.parametrize(
    ("text", "kind"), [("none", "none"), ("median", "median"), ("{hyperband: {grace: 1}}", "hyperband")]
)
def test_stop_may_be_a_word_or_a_group(tmp_path, text, kind):
    assert load(write(tmp_path, edited("stop", f"stop: {text}")[0])).stop.kind == kind


def test_all_faults_are_told_at_once_in_the_order_of_their_lines(tmp_path):
    text = BASE.replace("name: toy-run", "name: A").replace("val/loss", "val/x").replace("trials: 40", "trials: 0")

    faults = faults_of(write(tmp_path, text), ["train.lr.float=[0, 20]", "nmae=x"])

    assert [f.code for f in faults] == ["E303", "E311", "E303", "E324", "E320"]
    assert [f.where.rpartition("toy.yaml:")[2].split(":")[0] for f in faults[:3]] == ["2", "7", "19"]
    assert all(f.where.startswith("--set ") for f in faults[3:])


def test_no_more_than_twenty_faults_are_told(tmp_path):
    odd = "\n".join(f"odd{i}: 1" for i in range(30))

    faults = faults_of(write(tmp_path, BASE + odd))

    assert len(faults) == 20
    assert faults[-1].what == "11 more faults are not shown"


def test_place_of_a_fault_has_line_column_and_caret(tmp_path):
    file = write(tmp_path, edited("lr", "lr: {float: [1e-4, 20], log: true}")[0])

    (fault,) = faults_of(file)

    assert fault.where == f"{file}:16:24"
    assert excerpt(fault.where) == "    16 |     lr: {float: [1e-4, 20], log: true}\n       |                        ^"
    assert excerpt("--set a=b") is None


def test_a_missing_file_is_one_fault_with_its_neighbor(tmp_path):
    write(tmp_path, BASE, "toy.yaml")

    (fault,) = faults_of(tmp_path / "toi.yaml")

    assert (fault.code, fault.fix) == ("E300", "did you mean 'toy.yaml'?")


SETS = [
    ("budget.epochs=5", lambda s: s.budget.epochs == 5),
    ("budget.time=2h", lambda s: s.budget.time_s == 7200),
    (
        "space.train.lr.float=[1e-3,1e-2]",
        lambda s: s.space.domains["train.lr"].to_json() == {"float": [1e-3, 1e-2], "log": True},
    ),
    ("train.lr=5e-3", lambda s: s.space.fixed == {"train.lr": 5e-3}),
    ("train.lr.choice=[1e-3,1e-2]", lambda s: s.space.domains["train.lr"].options == (1e-3, 1e-2)),
    ("model.pad.int=[0,1]", lambda s: s.space.by_name["model.pad"].when[0].parent == "model.head"),
    ("model.residual={choice: [true, false]}", lambda s: s.space.domains["model.residual"].options == (True, False)),
    ("model.layers.int.1=3", lambda s: s.space.domains["model.layers"].high == 3),
    ("train.batch_size=64", lambda s: s.space.fixed == {"train.batch_size": 64}),
    ("stop=none", lambda s: s.stop.kind == "none"),
    ("stop.median.grace=4", lambda s: (s.stop.kind, s.stop.grace) == ("median", 4)),
    ("stop.asha.grace=4", lambda s: (s.stop.kind, s.stop.grace, s.stop.reduction) == ("asha", 4, 3.0)),
    ("search.start.0.lr=2e-2", lambda s: s.search.start[0]["train.lr"] == 2e-2),
    ("search.start=[]", lambda s: s.search.start == []),
    ("data.split.test=0.3", lambda s: (s.data.split.val, s.data.split.test) == (0.1, 0.3)),
    ("data.view.bins=4", lambda s: s.data.view == {"bins": 4}),
    ("name=other", lambda s: s.name == "other"),
]


@pytest.mark.parametrize(("option", "holds"), SETS, ids=[option for option, _ in SETS])
def test_set_overrides_a_value_by_its_path(tmp_path, option, holds):
    text = BASE.replace("lr: 1e-2}", "lr: 1e-2}").replace(", start: [{width: 4, lr: 1e-2}]", "")
    if "start.0" in option:
        text = BASE

    spec = load(write(tmp_path, text), [option])

    assert holds(spec), spec


BAD_SETS = [
    ("lr=3", "E324", "did you mean 'space.train.lr'?"),
    ("bugdet.epochs=3", "E324", "did you mean 'budget.epochs'?"),
    ("budget.epochs", "E324", "must be path=value"),
    ("=3", "E324", "must be path=value"),
    ("budget.epochs.max=3", "E324", "'budget.epochs' is a value, not a group"),
    ("search.start.4=3", "E324", "is a list of 1 entries"),
    ("budget.epoch=3", "E301", "did you mean 'epochs'?"),
    ("train.lrr=3", "E301", "did you mean 'lr'?"),
    ("train.lr=x", "E303", "must be a number, got 'x'"),
    ("train.lr.float=[1e-4,20]", "E303", "must be <= 10, got 20"),
    ("train.lr.float=[1e-4,", "E304", "is no YAML"),
    ("budget={epochs: 1, epochs: 2}", "E305", "given twice"),
]


@pytest.mark.parametrize(("option", "code", "said"), BAD_SETS, ids=[row[0] for row in BAD_SETS])
def test_a_wrong_set_is_refused_by_its_own_words(tmp_path, option, code, said):
    faults = faults_of(write(tmp_path, BASE), [option])

    told = [(f.code, f.where.startswith(f"--set {option}")) for f in faults if said in f"{f.what} - {f.fix}"]
    assert told == [(code, True)], [str(f) for f in faults]


def test_fixing_a_parent_drops_what_it_switches_off(tmp_path):
    spec = load(write(tmp_path, BASE), ["model.head=linear", "model.layers=3"])

    assert "model.pad" not in spec.space.domains
    assert "model.taper" in spec.space.domains
    assert spec.notes == ["space.model.pad is not searched: model.head is fixed to linear"]


def test_extends_merges_sections_and_replaces_entries(tmp_path):
    write(tmp_path, BASE, "base.yaml")
    space = "space:\n  train:\n    lr: {choice: [0.1, 0.01]}\n"
    top = f"extends: base.yaml\nname: top\n{space}stop: {{median: {{grace: 1}}}}\nsearch: {{start: []}}\n"

    spec = load(write(tmp_path, top))

    assert (spec.name, spec.stop.kind, spec.data.path) == ("top", "median", "x.h5ad")
    assert spec.space.domains["train.lr"].options == (0.1, 0.01)
    assert "model.width" in spec.space.domains
    assert spec.search.seed == 3


def test_a_fault_in_the_extended_file_is_told_there(tmp_path):
    write(tmp_path, BASE.replace("trials: 40", "trials: 0"), "base.yaml")
    file = write(tmp_path, "extends: base.yaml\nname: A\n")

    faults = faults_of(file)

    assert {f.where for f in faults} == {f"{tmp_path / 'base.yaml'}:19:18", f"{file}:2:7"}


def test_only_one_level_is_extended(tmp_path):
    write(tmp_path, "extends: c.yaml\n" + BASE, "base.yaml")

    faults = faults_of(write(tmp_path, "extends: base.yaml\n"))

    assert [f.code for f in faults] == ["E323"]


def test_variables_are_replaced_in_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("GX_PLACE", "s3://bucket")
    text = BASE.replace("path: x.h5ad", "path: ${GX_PLACE}/${GX_UNSET:-y}.h5ad")

    assert load(write(tmp_path, text)).data.path == "s3://bucket/y.h5ad"


def test_data_beside_an_extended_file_are_named_from_this_one(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "x.h5ad").touch()
    write(tmp_path / "lab", BASE, "base.yaml")

    assert load(write(tmp_path, "extends: lab/base.yaml\n")).data.path == "lab/x.h5ad"
    assert load(write(tmp_path, "extends: lab/base.yaml\ndata: {path: x.h5ad}\n")).data.path == "x.h5ad"
    assert load(tmp_path / "lab" / "base.yaml").data.path == "x.h5ad"


def test_spec_survives_json_exactly(tmp_path):
    text = BASE.replace("pad: {", "hidden: {choice: [[8], [16, 8]]}\n    pad: {default: 0.2, ")
    spec = load(write(tmp_path, text + "# µ\n"), ["train.weight_decay=1e-5"])

    again = Spec.from_json(json.loads(json.dumps(spec.to_json())))

    assert again == spec
    assert again.sha256 == spec.sha256


def test_fingerprint_follows_what_decides_the_trials(tmp_path):
    spec = load(write(tmp_path, BASE))

    same = [load(write(tmp_path, BASE), [s]) for s in ("name=b", "budget.trials=50", "resources.cpus=2")]
    other = [load(write(tmp_path, BASE), [s]) for s in ("search.seed=4", "model.layers=2", "stop=none", "data.path=y")]

    assert {s.sha256 for s in same} == {spec.sha256}
    assert len({s.sha256 for s in other} | {spec.sha256}) == 5


NOTES = [
    ("width", "width: {choice: [8, 16, 32, 64]}", "{int: [8, 64], log: true}"),
    ("width", "width: {choice: [10, 20, 30]}", "{int: [10, 30], step: 10}"),
    ("width", "width: {int: [2, 400]}", "spans 2.3 decades"),
    ("lr", "lr: {float: [0.01, 0.1]}", "add log: true"),
    ("pad", "pad: {float: [0, 1], when: {width: 64, layers: 4, head: range}}", "random draws"),
    ("budget", "budget: {trials: 12, epochs: 10}", "12 trials are few for 6 searched settings"),
    ("search", "search: {startup: 40}", "all 40 trials are drawn at random"),
    ("search", "search: {sampler: gp}", "gp draws conditional settings at random: model.taper, model.pad"),
    ("search", "search: {sampler: cmaes}", "cmaes draws choices at random: model.head"),
]


@pytest.mark.parametrize(("key", "new", "said"), NOTES, ids=[row[1] for row in NOTES])
def test_doubtful_specs_are_read_with_a_note(tmp_path, key, new, said):
    text = edited(key, new)[0]
    if key != "search":
        text = text.replace(", start: [{width: 4, lr: 1e-2}]", "")

    assert any(said in note for note in load(write(tmp_path, text)).notes)


def test_an_empty_space_is_noted(tmp_path):
    text = BASE[: BASE.index("space:")] + BASE[BASE.index("search: {") :].replace(", start: [{width: 4, lr: 1e-2}]", "")

    spec = load(write(tmp_path, text))

    assert spec.space.parameters == ()
    assert "nothing is searched" in spec.notes[0]


def test_a_spec_is_read_without_ray_and_numbers_libraries():
    code = (
        "import sys, gxsearch.search.spec; "
        "print(sorted({'ray', 'optuna', 'torch', 'pandas', 'anndata', 'numpy', 'scipy'} & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
    assert spec_module.MAX_FAULTS == 20


ODD = [None, True, -1, 0.5, "x", [], {}, [1], {"a": 1}, [[]], {"value": 3}, {"choice": [None, True]}, 10**30]
ODD += [{"int": [1, 4], "when": {"head": {"ge": True}}}, {"float": [None, []]}, {"loguniform": 3}, {"type": []}]


def test_whatever_stands_in_a_place_a_spec_is_read_or_refused(tmp_path):
    doc = parse(BASE.encode(), "toy.yaml")
    file = tmp_path / "odd.yaml"
    read = refused = 0

    for path, odd in list(itertools.product(doc.marks, ODD))[::4]:
        values = doc.put(path, odd, {}, {}).values if path else odd
        file.write_text(json.dumps(values))
        try:
            spec = load(file)
            assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
            read += 1
        except SpecError as error:
            assert all(fault.where.startswith(str(file)) and fault.what for fault in error.faults)
            refused += 1

    assert read > 0
    assert refused > 100
