"""Search space files that are changed: by --set, by extends, by variables."""

from __future__ import annotations

import pytest
from spec_model import BASE, faults_of, write

from gxsearch.search.spec import load

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
