import json
import re
from html.parser import HTMLParser

import anndata
import numpy as np
import pytest
from synthetic_run import write_run

from gxsearch.errors import RunError
from gxsearch.results import embed, page, projection, report
from gxsearch.results.ledger import Ledger
from gxsearch.results.run_dir import write_atomic
from gxsearch.results.verdict import verdict, wall_seconds

EVIL = "</script><img src=x onerror=alert(1)><script>alert(2)</script>\"'&lt;b>=1"


class Page(HTMLParser):
    """Every element with its attributes' names, and the text outside of scripts and styles."""

    def __init__(self, html: str):
        super().__init__()
        self.elements, self.text, self.data, self._inside = [], "", [], ""
        self.attributes = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.data.append(data)
        elif self._inside != "style":
            self.text += data


@pytest.fixture(scope="module")
def written(finished, table):
    embed.embeddings(finished, table)
    _two_dimensions(finished)
    return report.write(finished).read_text()


def _two_dimensions(run):
    """Cut the vectors to two dimensions: a UMAP takes long to compile."""
    adata = anndata.read_h5ad(run.embeddings)
    adata.obsm["X_fe"] = np.ascontiguousarray(adata.obsm["X_fe"][:, :2])
    adata.write_h5ad(run.embeddings)


def test_the_verdict_comes_first_and_names_trial_value_baseline_and_states(written, finished):
    text = " ".join(Page(written).text.split())

    assert text.index("Trial 1 is best: val/entry_mse is") < text.index("Leaderboard")
    assert "The best baseline, gene mean, does better without any search: 0.5000" in text
    assert "Of 7 trials, 3 complete, 1 diverged, 1 failed, 1 interrupted, 1 stopped early" in text
    assert "1 trial came to nothing: OOM" in text and "too few trials (4 of at least 10" in text
    assert "model.sample_dim" in text and finished.facts()["data"]["sha256"] in text


def test_the_sections_come_in_the_order_in_which_they_are_read(written):
    titles = re.findall(r"<h[12]>(.*?)</h[12]>", written)

    assert titles == [
        "fe-sim", "Leaderboard", "The embedding", "Learning curves", "Which settings matter",
        "What the search teaches", "Data and split", "How to repeat this",
    ]  # fmt: skip


def test_every_element_of_the_page_is_closed_where_it_should_be(written):
    tags = re.findall(r"<(/?)([a-z][a-z0-9]*)\b[^>]*?>", re.sub(r"<(script|style)\b.*?</\1>", "", written, flags=re.S))

    open_ = []
    for slash, tag in tags:
        if slash:
            assert open_.pop() == tag
        elif tag not in ("meta", "img", "br"):
            open_.append(tag)
    assert open_ == []


def test_a_report_says_how_to_repeat_the_run_and_what_it_was_made_of(written, finished):
    text = " ".join(Page(written).text.split())

    assert f"gxsearch replay {finished.path.name}" in text and "gxsearch tune spec.yaml" in text
    assert finished.facts()["data"]["split_sha256"] in text and "python 3.11, torch 2.13" in text


CONFIRMED = {
    "sentences": ["Trial 1 is better than trial 0."],
    "table": {"columns": ["trial", "test"], "rows": [["1", 0.12345678], [EVIL, None]]},
}


def test_what_became_of_the_best_trials_trained_again_stands_below_the_verdict_as_text(own):
    write_atomic(own.confirmation, json.dumps(CONFIRMED).encode())

    found = Page(report.write(own).read_text())

    text = " ".join(found.text.split())
    assert text.index("is best") < text.index("Trial 1 is better than trial 0.") < text.index("Leaderboard")
    assert "0.1235" in text and EVIL in found.text and "img" not in {tag for tag, _ in found.elements}
    assert "| 1 | 0.1235 |" in own.report_md.read_text()


def test_a_confirmation_without_a_table_is_told_in_its_sentences(own):
    write_atomic(own.confirmation, json.dumps({"sentences": ["None came to a result."]}).encode())

    assert "None came to a result." in Page(report.write(own).read_text()).text


@pytest.mark.parametrize("text", ["{", "[]", '{"sentences": "no list"}', '{"sentences": [], "table": {"rows": 3}}'])
def test_a_damaged_confirmation_is_one_line(own, text):
    write_atomic(own.confirmation, text.encode())

    with pytest.raises(RunError, match=r"error\[E631\].*confirm.json"):
        report.write(own)


def give_three_dimensions(run, table):
    embed.embeddings(run, table)
    adata = anndata.read_h5ad(run.embeddings)
    adata.obsm["X_fe"] = np.random.default_rng(0).normal(size=(adata.n_obs, 3))
    adata.write_h5ad(run.embeddings)


def test_a_map_is_projected_once_and_read_from_then_on(own, table, monkeypatch):
    give_three_dimensions(own, table)
    calls = []
    for name in ("umap", "tsne"):
        monkeypatch.setattr(projection, name, lambda z, name=name: calls.append(name) or z[:, :2].astype(np.float32))

    report.write(own)
    report.write(own)

    assert sorted(calls) == ["tsne", "umap"]


def test_a_brief_report_leaves_out_what_takes_longest_and_says_where_it_is(own, table, monkeypatch):
    give_three_dimensions(own, table)
    monkeypatch.setattr(projection, "umap", lambda z: z[:, :2].astype(np.float32))
    monkeypatch.setattr(projection, "tsne", lambda z: pytest.fail("a t-SNE"))

    page = report.write(own, brief=True).read_text()

    assert "gxsearch report</code>" in page and "three ways" not in page


def test_the_markdown_tells_the_same_verdict_and_tables(written, finished):
    text = finished.report_md.read_text()

    assert "Trial 1 is best: val/entry\\_mse is" in text and "## What the search teaches" in text
    assert text.index("## Leaderboard") < text.index("## What the search teaches") < text.index("## How to repeat this")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "| gene mean | baseline | 0.5000 |" in text and len(rows) > 20
    assert f"gxsearch replay {finished.path.name}" in text and "\n\n\n" not in text


def test_the_markdown_has_no_markup_of_a_stranger(tmp_path, table):
    evil, tame = (_evil_run(tmp_path / word, name, table) for word, name in (("a", f"|{EVIL}\n# x"), ("b", "plain")))
    report.write(evil)
    report.write(tame)
    evil, tame = evil.report_md.read_text(), tame.report_md.read_text()

    assert "<" not in evil and "onerror" in evil
    shapes = [
        [(line[:2], len(re.findall(r"(?<!\\)\|", line))) for line in text.splitlines() if line[:2] not in ("  ", "\\|")]
        for text in (evil, tame)  # the command apart, which is code only where nothing in it looks like markup
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b*c|`d`", r"a\_b\*c\|\`d\`"),
        ("[x](http://y)", r"\[x\](http\://y)"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("- item\n# head", r"\- item \# head"),
        ("www.x.org a@b.c ~~z~~", r"www\.x.org a\@b.c \~\~z\~\~"),
    ],
)
def test_text_in_markdown_is_shown_as_it_is(text, shown):
    assert page.md(text) == shown


def test_the_page_asks_for_nothing_from_the_network(written):
    found = Page(written)

    assert not [a for a in found.attributes if a[1] in ("src", "href") and not a[2].startswith("data:")]
    assert not {"link", "iframe", "object", "form"} & {tag for tag, _ in found.elements}
    policy = next(value for tag, name, value in found.attributes if tag == "meta" and "default-src" in (value or ""))
    assert policy.startswith("default-src 'none'") and "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_the_policy_allows_the_two_scripts_that_are_there(written):
    scripts = re.findall(r"<script>(.*?)</script>", written, re.S)

    assert len(scripts) == 2
    assert all(page.script_hash(script).replace("'", "&#39;") in written for script in scripts)


def test_every_figure_s_data_is_json_with_something_to_draw(written):
    figures = re.findall(r'<script type="application/json">(.*?)</script>', written, re.S)

    assert len(figures) >= 9
    assert all(json.loads(figure)["data"] for figure in figures)


def test_a_static_report_has_pictures_and_no_script(own, table):
    embed.embeddings(own, table)
    _two_dimensions(own)

    found = Page(report.write(own, static=True).read_text())

    assert "script" not in {tag for tag, _ in found.elements}
    assert [tag for tag, _ in found.elements].count("img") >= 9
    assert own.report.stat().st_size < 2_000_000


def _evil_run(path, name, table):
    """Return a run in which every name that a stranger may choose is `name`."""
    facts = {**table.facts, "source": name, "warnings": [name], "classes": {name: 60}}
    domains = {
        f"model.{name}": {"kind": "choice", "options": [name, "b"]},
        "train.lr": {"kind": "float", "low": 0, "high": 1},
    }
    run = write_run(path, facts, name=name, notes=[name], space={"fixed": {"model.x": name}}, model="not-installed")
    changed = {"name": name, "command": name, "versions": {name: name}, "space_domains": domains, "id": name}
    write_atomic(run.run, json.dumps(run.facts() | changed).encode())
    ledger = Ledger(run.ledger)
    for number in range(12):
        params = {f"model.{name}": (name, "b")[number % 2], "train.lr": number / 12}
        ledger.append("trial_created", trial=number, params=params, seed=0)
        metrics = {"val/entry_mse": float(number), f"val/{name}": 1.0, "best": float(number), "best_epoch": 1}
        ledger.append("epoch", trial=number, epoch=1, metrics=metrics)
        end = {"epochs": 1, "best": float(number), "best_epoch": 1, "reason": name, "seconds": 1.0}
        ledger.append("trial_ended", trial=number, state="failed" if number == 11 else "complete", **end)
    ledger.close()
    write_atomic(run.spec, f"name: {name}".encode())
    rows = [{"name": name, "val/entry_mse": 1.5, f"test/{name}": 1.0}]
    write_atomic(run.baselines, json.dumps(rows).encode())
    run.results.mkdir(exist_ok=True)
    _evil_embeddings(name).write_h5ad(run.embeddings)
    return run


def _evil_embeddings(name):
    draw = np.random.default_rng(0)
    key = name.replace("/", "")  # AnnData allows no slash in a column's name
    adata = anndata.AnnData(
        obs={key: [name, "b"] * 10, "age": draw.uniform(size=20)}, var={"mean": np.ones(5), "variance": np.arange(5.0)}
    )
    adata.obs_names, adata.var_names = [f"{name}{i}" for i in range(20)], [f"{name}{i}" for i in range(5)]
    adata.obsm["X_not-installed"], adata.obsm["X_pca"] = draw.normal(size=(2, 20, 2))
    adata.varm["not-installed"] = draw.normal(size=(5, 3))
    return adata


@pytest.mark.parametrize("static", [False, True])
def test_hostile_names_add_no_element_and_no_attribute(tmp_path, table, static):
    evil = Page(report.write(_evil_run(tmp_path / "a", EVIL, table), static=static).read_text())
    tame = Page(report.write(_evil_run(tmp_path / "b", "plain", table), static=static).read_text())

    assert evil.elements == tame.elements
    assert EVIL in evil.text
    assert not [name for _, name, _ in evil.attributes if name.startswith("on")]


def test_plotly_gets_no_markup_of_a_stranger(tmp_path, table):
    html = report.write(_evil_run(tmp_path / "a", EVIL, table)).read_text()

    figures = re.findall(r'<script type="application/json">(.*?)</script>', html, re.S)
    texts = [text for figure in figures for text in _texts(json.loads(figure))]
    assert any("&lt;img" in text for text in texts)
    assert not [text for text in texts if "<" in text]


def _texts(value):
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(item)


def test_a_run_in_which_nothing_worked_has_a_report_that_says_so(tmp_path):
    run = write_run(tmp_path / "r", {"warnings": []})
    ledger = Ledger(run.ledger)
    ledger.append("run_started", trials=1, concurrent=1)
    ledger.append("trial_created", trial=0, params={}, seed=0)
    end = {"epochs": 0, "best": None, "best_epoch": 0, "reason": "nan", "seconds": 1.0}
    ledger.append("trial_ended", trial=0, state="diverged", **end)
    ledger.close()

    text = Page(report.write(run).read_text()).text

    assert "No trial came to a finite value" in text and "This report is partial" in text


def test_a_search_that_beats_the_baseline_says_by_how_much(own):
    write_atomic(own.baselines, json.dumps([{"name": "pca", "val/entry_mse": 1e3}]).encode())

    assert re.search(r"That is \d+% lower than the best baseline, pca \(1000\)", verdict(own).lead)


def test_wall_time_leaves_out_the_pause_before_a_resume():
    stamps = [
        ("run_started", "10:00:00"),
        ("epoch", "10:01:00"),
        ("run_resumed", "12:00:00"),
        ("run_ended", "12:00:30"),
    ]

    assert wall_seconds([{"event": e, "time": f"2026-01-01T{t}+00:00"} for e, t in stamps]) == 90


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123456, "0.001235"),
        (12345.678, "12346"),
        (1.1e-7, "1.1e-7"),
        (28, "28"),
        (120000, "120,000"),
        (None, ""),
        (True, "true"),
    ],
)
def test_numbers_are_written_as_a_person_would(value, text):
    assert page.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90000, "1 d 1 h")]
)
def test_lengths_of_time_have_two_units(value, text):
    assert page.seconds(value) == text


def test_json_in_a_script_cannot_end_it_and_reads_back_the_same():
    told = json.dumps({"name": EVIL, "line": "\u2028"}, ensure_ascii=False)

    text = str(page.script_data(told))

    assert not set("<>&\u2028") & set(text) and json.loads(text) == json.loads(told)
