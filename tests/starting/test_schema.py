"""JSON Schemas of search space files: current, right about what is wrong, and never stricter than `check`."""

import copy
import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from fuzz import specs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gxsearch.errors import GxError
from gxsearch.models import registry
from gxsearch.search import json_schema
from gxsearch.search.spec import read as read_spec
from gxsearch.search.yaml_file import parse as parse_yaml
from gxsearch.search.yaml_file import read

SPACES = Path(__file__).parents[2] / "search_spaces"
FILES = sorted(SPACES.glob("*.yaml"))
MODELS = sorted(path.name.partition(".")[0] for path in SPACES.glob("*.schema.json"))


@cache
def validator(model: str) -> jsonschema.Draft202012Validator:
    found = json_schema.schema(model)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def model_of(path: Path) -> str:
    values = read(path).values
    return values.get("model") or model_of(path.parent / values["extends"])


def holds(model: str, values: dict) -> bool:
    return validator(model).is_valid(values)


def accepted(text: bytes) -> bool:
    try:
        read_spec("case.yaml", text, ())
    except GxError:
        return False
    return True


def test_there_is_a_schema_for_every_architecture():
    assert sorted(name for name in registry.names() if (SPACES / f"{name}.yaml").exists()) == MODELS


@pytest.mark.parametrize("model", MODELS)
def test_the_shipped_schema_is_current(model):
    written = (SPACES / f"{model}.schema.json").read_text()

    assert written == json_schema.text(json_schema.schema(model)), f"gxsearch schema {model} -o search_spaces/..."


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_search_space_validates_and_names_its_schema(path):
    model = model_of(path)

    assert not [error.message for error in validator(model).iter_errors(read(path).values)]
    assert path.read_text().startswith(f"# yaml-language-server: $schema={model}.schema.json\n")


SOUND = {
    "gxsearch": 1,
    "name": "a",
    "model": "fe",
    "data": {"path": "sim_bulk"},
    "space": {"model": {"head": "linear"}, "train": {"lr": {"float": [1e-3, 1e-2], "log": True}}},
    "budget": {"trials": 3, "epochs": 2},
}
WRONG = [
    ({"modle": "fe"}, "an unknown section"),
    ({"gxsearch": 2}, "another format"),
    ({"model": "vae"}, "another model"),
    ({"name": "A b"}, "no name of a folder"),
    ({"data.pth": "x"}, "an unknown setting of data"),
    ({"data.path": 3}, "a path that is a number"),
    ({"data.transform": ["log"]}, "an unknown step"),
    ({"data.genes": {"top_variable": 1}}, "a bound of data"),
    ({"data.split": {"val": 1.0}}, "an exclusive bound"),
    ({"data.view": {"holdout": 1.5}}, "a bound of the view"),
    ({"data.view": {"scale": "standard"}}, "a setting of another view"),
    ({"objective": {"metric": "val/elbo"}}, "a measure of another model"),
    ({"objective": []}, "no objective"),
    ({"choose": "best"}, "an unknown rule"),
    ({"space.model.hiden": 3}, "an unknown setting"),
    ({"space.model.lr": 1e-3}, "a setting of another group"),
    ({"space.data": {}}, "an unknown group"),
    ({"space.model.hidden": [8]}, "a bare list"),
    ({"space.model.sample_dim": 0}, "a value out of bounds"),
    ({"space.model.sample_dim": "two"}, "a value of another type"),
    ({"space.model.sample_dim": True}, "a flag for a number"),
    ({"space.model.sample_dim": {"int": [0, 4]}}, "an end out of bounds"),
    ({"space.model.sample_dim": {"int": [1]}}, "one end"),
    ({"space.model.sample_dim": {"float": [1.5, 4.5]}}, "a real range of whole numbers"),
    ({"space.model.sample_dim": {"int": [1, 4], "float": [1, 4]}}, "two kinds"),
    ({"space.model.sample_dim": {"min": 1, "max": 4}}, "words of others"),
    ({"space.model.sample_dim": {"int": [1, 9], "log": True, "step": 2}}, "log beside step"),
    ({"space.model.sample_dim": {"int": [1, 9], "log": "yes"}}, "a flag that is a word"),
    ({"space.model.sample_dim": {"int": [1, 9], "default": 2}}, "a default without a condition"),
    ({"space.model.sample_dim": {"int": [1, 9], "when": {"nothing": 2}}}, "a condition on nothing"),
    ({"space.model.sample_dim": {"int": [1, 9], "when": {"gene_dim": {"above": 2}}}}, "an unknown comparison"),
    ({"space.model.head": {"choice": ["linear", "tanh"]}}, "an unknown option"),
    ({"space.model.head": {"choice": []}}, "no options"),
    ({"space.model.head": {"float": [0, 1]}}, "a range of words"),
    ({"space.model.head": {"value": "linear", "when": {"lr": 1}}}, "a condition of a fixed value"),
    ({"space.train.lr": {"float": [1e-3, 11]}}, "an end above its bound"),
    ({"search": {"sampler": "best"}}, "an unknown sampler"),
    ({"search": {"start": [{"hiden": 3}]}}, "an unknown setting of a start"),
    ({"stop": "late"}, "an unknown rule of stopping"),
    ({"stop": {"asha": {"grace": 0}}}, "a bound of it"),
    ({"stop": {"asha": {}, "median": {}}}, "two rules"),
    ({"budget": {"trials": 0, "epochs": 2}}, "no trials"),
    ({"budget": {"trials": 2}}, "no epochs"),
    ({"budget": {"epochs": 2}}, "no end"),
    ({"budget": {"time": "2 hours", "epochs": 2}}, "no length of time"),
    ({"budget": {"time_s": 20, "epochs": 2}}, "an inner name"),
    ({"resources": {"cpus": 0}}, "no CPU"),
    ({"resources": {"gpus": "all"}}, "an unknown word"),
    ({"confirm": {"top": 1000}}, "too many to confirm"),
    ({"data": None}, "no data"),
    ({"budget": None}, "no budget"),
]


def changed(change: dict) -> dict:
    values = copy.deepcopy(SOUND)
    for path, value in change.items():
        *groups, last = path.split(".")
        inner = values
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return values


def test_the_sound_one_is_sound():
    assert holds("fe", SOUND) and accepted(yaml.safe_dump(SOUND).encode())


@pytest.mark.parametrize(("change", "what"), WRONG, ids=[what for _, what in WRONG])
def test_what_is_wrong_is_refused_by_schema_and_check(change, what):
    values = changed(change)

    assert not holds("fe", values) and not accepted(yaml.safe_dump(values).encode())


FINE = [
    {"objective": None},
    {"choose": None},
    {"space": None},
    {"space.model": None},
    {"stop": "asha", "budget.epochs": 20},
    {"stop": {"hyperband": None}, "budget.epochs": 20},
    {"budget": {"time": "1.5h", "trials": None, "epochs": 2}},
    {"budget": {"time": None, "trials": 3, "epochs": 2}},
    {"objective": [{"metric": "val/entry_mse"}, {"metric": "val/r2", "mode": "max"}], "choose": {"within": 0.02}},
    {"space.model.hidden": {"value": [8, 4]}},
    {"space.model.hidden": {"choice": [[8], [8, 4]]}},
    {"space.model.range_pad": {"int": [0, 1]}},
    {"space.model.sample_dim": {"int": [1, 9], "log": False, "step": 2}},
    {"space.model.sample_dim": {"int": [1, 9], "log": True, "step": 1}},
    {"space.train.lr": {"float": [0.1, 0.3], "step": None, "log": True}},
    {"space.model.sample_dim": {"int": [1, 9], "when": None, "default": 2}},
    {"space.model.sample_dim": {"int": [1, 9], "when": {"head": "linear"}, "default": 2}},
    {"space.model.sample_dim": {"int": [1, 9], "when": {"model.head": ["linear"]}}},
    {"space.model.sample_dim": {"int": [1, 9], "when": {"lr": {"gt": 0.002, "lt": 1}}}},
    {"search": {"start": [{"train.lr": 0.005}, {}]}},
    {"resources": {"gpus": "auto", "concurrent": "auto", "cpus": 0.5}},
    {"gxsearch": 1.0},
]


@pytest.mark.parametrize("change", FINE, ids=lambda change: next(iter(change)) + str(next(iter(change.values()))))
def test_what_check_accepts_the_schema_does(change):
    values = changed(change)

    assert accepted(yaml.safe_dump(values).encode())
    assert not [error.message for error in validator("fe").iter_errors(values)]


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(spoiled=specs.spoiled() | specs.sections().map(lambda spec: yaml.safe_dump(spec).encode()))
def test_no_schema_refuses_what_check_accepts(spoiled):
    if not accepted(spoiled):
        return
    values = parse_yaml(spoiled, "case.yaml").values

    assert not [error.message for error in validator(values["model"]).iter_errors(values)]


@st.composite
def entry(draw: st.DrawFn, name: str, low: float, high: float, whole: bool):
    """Draw an entry of a number within its bounds, in every form that there is."""
    numbers = st.integers(int(low), int(high)) if whole else st.floats(low, high)
    a, b = sorted(draw(st.tuples(numbers, numbers)))
    kind = "int" if whole else "float"
    more = draw(st.sampled_from([{}, {"log": True}, {"log": False}, {"step": 1}, {"when": {"head": "linear"}}]))
    return {name: draw(st.sampled_from([a, {"value": b}, {"choice": [a, b]}, {kind: [a, b], **more}, {kind: [b, a]}]))}


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    model=st.tuples(entry("sample_dim", 0, 40, True), entry("range_pad", -0.1, 1.1, False)),
    train=st.tuples(entry("lr", 0.0, 11, False), entry("batch_size", 0, 99, True)),
)
def test_numbers_are_bounded_as_check_bounds_them(model, train):
    values = changed({"space.model": {"head": "linear"} | model[0] | model[1], "space.train": train[0] | train[1]})

    if accepted(yaml.safe_dump(values).encode()):
        assert holds("fe", values)


def test_the_schema_of_any_model_asks_which(call):
    code, out, _ = call("schema")
    any_model = jsonschema.Draft202012Validator(json.loads(out))
    bad = changed({"budget": {"trials": 0, "epochs": 2}})

    assert code == 0 and any_model.is_valid(SOUND)
    assert not any_model.is_valid(bad) and not any_model.is_valid(SOUND | {"model": "nothing"})


def test_a_schema_is_written_and_written_again_but_never_over_anything_else(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "link.json").symlink_to("mine.json")

    assert call("schema", "fe", "-o", "fe.schema.json")[0] == 0
    assert call("schema", "vae", "-o", "fe.schema.json")[0] == 0
    assert json.loads((tmp_path / "fe.schema.json").read_text())["title"].endswith("of vae")
    for words, code in [
        (["mine.json"], "E352"),
        (["no/a.json"], "E351"),
        (["a.yaml"], "E351"),
        (["link.json"], "E811"),
    ]:
        status, _, err = call("schema", "fe", "-o", *words)
        assert status == int(code[1]) and err.startswith(f"error[{code}]")
    assert call("schema", "fee")[0] == 3 and (tmp_path / "mine.json").read_text() == "{}"


def test_init_names_a_schema_that_lies_beside_its_file(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    call("schema", "fe", "-o", "fe.schema.json")
    call("init", "fe", "-d", "sim_bulk?n=40&g=20")
    values = read(tmp_path / "fe-sim_bulk.yaml").values

    assert (tmp_path / "fe-sim_bulk.yaml").read_text().startswith("# yaml-language-server: $schema=fe.schema.json\n")
    assert holds("fe", values)
