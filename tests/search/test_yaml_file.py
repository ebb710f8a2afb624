"""Reading YAML: scalars of YAML 1.2, places of all values, and everything that is refused."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gxsearch.errors import SpecError
from gxsearch.search.yaml_file import MAX_BYTES, excerpt, parse, parse_value, read

SCALARS = [
    ("1e-4", 1e-4), ("1E5", 1e5), ("5e-3", 5e-3), (".5", 0.5), ("5.", 5.0), ("+1", 1), ("-0", 0), ("010", 10),
    ("0x1f", 31), ("0o17", 15), (".inf", float("inf")), ("-.Inf", float("-inf")),
    ("on", "on"), ("off", "off"), ("yes", "yes"), ("NO", "NO"), ("y", "y"), ("MARCH1", "MARCH1"), ("SEPT2", "SEPT2"),
    ("12:30", "12:30"), ("1:30:00", "1:30:00"), ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("1e", "1e"),
    ("0b11", "0b11"), ("1.2.3", "1.2.3"), ("=", "="), ("'1'", "1"), ('"1e-4"', "1e-4"),
    ("true", True), ("False", False), ("~", None), ("null", None), ("", None), ("tRue", "tRue"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[text or "empty" for text, _ in SCALARS])
def test_a_word_means_what_yaml_1_2_says(text, value):
    found = parse(f"a: {text}\n".encode(), "f.yaml").values["a"]

    assert found == value
    assert type(found) is type(value)


REFUSED = [
    ("a: 1\nb: 2\na: 3\n", "E305", "f.yaml:3:1", "'a' is given twice (first in line 1)"),
    ("a: {b: 1, b: 2}\n", "E305", "f.yaml:1:11", "'b' is given twice"),
    ("a:\n\tb: 1\n", "E304", "f.yaml:2:1", "a tab stands where YAML wants spaces"),
    ("a: [1, 2\nb: 3\n", "E304", "f.yaml:2:2", "the bracket is opened in line 1, column 4"),
    ('a: 1\nb: "open\n', "E304", "f.yaml:2:4", "close the quotation marks"),
    ("a: b: c\n", "E304", "f.yaml:1:5", "quote text that contains ': '"),
    ("a: 1\nb\nc: 2\n", "E304", "f.yaml:2:1", "'key: value', with a space"),
    ("a: @x\n", "E304", "f.yaml:1:4", "quote text that begins with this character"),
    ("a: !!python/object:os.system x\n", "E304", "f.yaml:1:4", "is not used here"),
    ("a: !!int '3'\n", "E304", "f.yaml:1:4", "is not used here"),
    ("a: 1\n---\nb: 2\n", "E304", "f.yaml:2:1", "one file for each search"),
    ("? [1, 2]\n: 3\n", "E304", "f.yaml:1:3", "quote a key that contains brackets"),
    ('"\\e[31m": 3\n', "E304", "f.yaml:1:1", "a key must be a word"),
    ("a: 1\nb: \x07\n", "E304", "f.yaml:2:1", "#x0007"),
    ("a: &x [*x]\n", "E306", "f.yaml:1:8", "refers to itself"),
    ("a: *x\n", "E306", "f.yaml:1:4", "is not defined above"),
    ("a: " + "[" * 5000, "E306", "f.yaml:1:23", "nested deeper than 20 levels"),
    ("a: [" + "1," * 20000 + "]", "E306", "f.yaml:1:19999", "more than 10,000 values"),
    ("", "E307", "f.yaml:1:1", "is empty"),
    ("# only a comment\n", "E307", "f.yaml:1:1", "is empty"),
    ("- 1\n", "E307", "f.yaml:1:1", "got a list"),
    ("a:1\n", "E307", "f.yaml:1:1", "got 'a:1'"),
    ("a: 1\n<<: 3\n", "E304", "f.yaml:2:1", "takes a group"),
]


@pytest.mark.parametrize(("text", "code", "where", "said"), REFUSED, ids=[row[3] for row in REFUSED])
def test_a_faulty_file_is_refused_at_its_place(text, code, where, said):
    try:
        faults = parse(text.encode(), "f.yaml").faults
    except SpecError as error:
        faults = error.faults

    assert [(f.code, f.where) for f in faults] == [(code, where)]
    assert said in f"{faults[0].what} - {faults[0].fix}"


def test_a_bomb_of_aliases_is_refused_before_it_is_built():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]

    with pytest.raises(SpecError, match="with its aliases this is more than 10,000 values"):
        parse("\n".join(lines).encode(), "f.yaml")


def test_aliases_and_merges_give_copies():
    values = parse(b"base: &b {x: 1, y: [2]}\nd:\n  <<: *b\n  x: 5\ne: *b\n", "f.yaml").values

    assert values["d"] == {"x": 5, "y": [2]}
    values["e"]["y"].append(3)
    assert values["base"]["y"] == [2]


def test_a_repeated_key_keeps_its_first_value_and_tells_once():
    doc = parse(b"a: {b: 1, c: {d: 2}}\na: {b: 3, c: {d: 4}}\na: 5\n", "f.yaml")

    assert doc.values == {"a": {"b": 1, "c": {"d": 2}}}
    assert [f.where for f in doc.faults] == ["f.yaml:2:1", "f.yaml:3:1"]
    assert doc.where("a.c.d") == "f.yaml:1:18"


def test_every_value_and_key_has_its_place(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("space:\n  train:\n    lr: {float: [1e-4, 0.1]}\n\tx")
    file.write_text("space:\n  train:\n    lr: {float: [1e-4, 0.1]}\n")

    doc = read(file)

    assert doc.where("space.train.lr.float") == f"{file}:3:17"
    assert doc.where("space.train.lr.float.1") == f"{file}:3:24"
    assert doc.where(("space", "train", "lr"), key=True) == f"{file}:3:5"
    assert doc.where("space.train.lr.no.such") == doc.where("space.train.lr") == f"{file}:3:9"
    assert doc.where("elsewhere") == f"{file}:1:1"
    assert doc.excerpt("space.train.lr.float.1").splitlines()[1].index("^") == 9 + 23
    assert excerpt(f"{file}:9:1") is None


def test_unreadable_files_are_one_fault(tmp_path):
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    (tmp_path / "latin.yaml").write_bytes("a: 1\nb: é\n".encode("latin-1"))
    (tmp_path / "bom.yaml").write_bytes("\ufeffa: é\n".encode())

    codes = {}
    for name in ("large.yaml", "latin.yaml", "none.yaml", "."):
        with pytest.raises(SpecError) as caught:
            read(tmp_path / name)
        codes[name] = caught.value.faults[0]

    assert {name: fault.code for name, fault in codes.items()} == {
        "large.yaml": "E306", "latin.yaml": "E304", "none.yaml": "E300", ".": "E300",
    }  # fmt: skip
    assert codes["latin.yaml"].where == f"{tmp_path / 'latin.yaml'}:2:1"
    assert read(tmp_path / "bom.yaml").values == {"a": "é"}


def test_one_value_is_read_by_the_same_rules():
    assert parse_value("[1e-4, 1e-2]", "--set a") == [1e-4, 1e-2]
    assert parse_value("", "--set a") is None
    with pytest.raises(SpecError, match="--set a.*given twice"):
        parse_value("{a: 1, a: 2}", "--set a")


plain = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False)
    | st.text("ab1.:-# e", max_size=8)
)
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
)


@given(st.dictionaries(st.text("abcd", min_size=1, max_size=4), nested, max_size=4))
def test_what_pyyaml_writes_is_read_back(values):
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True

    text = yaml.dump(values, Dumper=Dumper)

    # PyYAML quotes whatever YAML 1.1 would take for something else than text, which 1.2 reads as text, too.
    assert parse(text.encode(), "f.yaml").values == values


@given(st.text(max_size=60) | st.text("ab:-[]{},&*!|>'\"%@ \n\t#?", max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        assert isinstance(parse(text.encode("utf-8", "surrogatepass"), "f.yaml").values, dict)
    except SpecError as error:
        assert all(fault.where.startswith("f.yaml:") for fault in error.faults)
