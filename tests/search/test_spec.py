"""Search space files: what is read, notes, round trips."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest
from spec_model import BASE, edited, faults_of, write

from gxsearch.errors import SpecError
from gxsearch.search import spec as spec_module
from gxsearch.search.sections import Budget, Objective, Resources, Stop
from gxsearch.search.spec import Spec, load
from gxsearch.search.yaml_file import excerpt, parse


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
