"""`gpus: auto` becomes the share of a GPU at which the largest trial fits as often as there are CPUs for."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from gxsearch import api
from gxsearch.cli import main
from gxsearch.errors import ResourceError, SpecError
from gxsearch.results.ledger import events
from gxsearch.results.run_dir import RunDir
from gxsearch.search import packing
from gxsearch.search.local import single
from gxsearch.search.measuring import Finding
from gxsearch.search.packing import CONTEXT, on_a_card, share

GIB = 2**30
CARD = 80 * GIB
AUTO = "resources.gpus=auto"


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes a machine of so many CPUs and cards, on which a trial takes so many bytes."""

    def made(cpus: int, cards: int, peak: int = GIB, **told):
        asked = []

        def findings(spec, draws, *, device):
            asked.append((spec, draws, device))
            return [Finding(**{"state": "measured", "card": peak, "card_total": CARD} | told)]

        monkeypatch.setattr(packing, "local_resources", lambda: (cpus, cards))
        monkeypatch.setattr(packing, "findings", findings)
        return asked

    return made


def test_trials_and_their_contexts_leave_a_tenth_of_a_card():
    assert on_a_card(8 * GIB - CONTEXT, CARD) == 9  # 72 of 80 GiB
    assert on_a_card(8 * GIB - CONTEXT + 1, CARD) == 8
    assert on_a_card(CARD, CARD) == 0


@pytest.mark.parametrize(
    ("peak_gib", "at_once", "cards", "expected"),
    [
        (17.5, 64, 1, 0.25),  # four by memory
        (17.5, 2, 1, 0.5),  # CPUs for two
        (17.5, 6, 2, 0.3333),  # CPUs for three on each of two cards
        (17.5, 5, 2, 0.3333),  # one card gets three, the other two
        (17.5, 1, 4, 1.0),
        (79.9, 64, 1, 1.0),  # too large for the margin, or for the card: the trial works in parts
        (200.0, 64, 1, 1.0),
        (0.0, 1000, 1, 0.0156),  # no more than 64
    ],
)
def test_the_share_is_the_largest_by_which_trials_fit(peak_gib, at_once, cards, expected):
    found = share(int(peak_gib * GIB), CARD, at_once, cards)

    assert found == expected
    assert round(1 / expected) * found <= 1.0


def test_the_largest_corner_is_measured_and_its_share_said(toy_spec, toy_table, machine):
    said, asked = [], machine(8, 1, peak=int(17.5 * GIB))

    found = packing.settled(toy_spec(AUTO), toy_table, said.append)

    ((spec, draws, device),) = asked
    assert found.gpus == 0.25 and device == "cuda" and draws[0]["model.latent_dim"] == 6
    assert spec.resources.gpus == 1.0
    (line,) = said
    assert line.startswith("resources.gpus: auto is 0.25 here: the largest trial takes 18.0 of 80.0 GiB, so 4 fit,")
    assert line.endswith("and there are CPUs for 8")


def test_no_more_trials_share_a_card_than_are_asked_for(toy_spec, toy_table, machine):
    machine(8, 1)

    assert packing.settled(toy_spec(AUTO, "resources.concurrent=2"), toy_table, print).gpus == 0.5


def test_without_a_gpu_trials_run_on_cpus(toy_spec, toy_table, machine):
    said, asked = [], machine(8, 0)

    assert packing.settled(toy_spec(AUTO), toy_table, said.append).gpus == 0
    assert not asked and "this machine has no GPU, so trials run on its CPUs" in said[0]


def test_several_workers_share_no_card(toy_spec, toy_table, machine):
    asked = machine(8, 2)

    assert packing.settled(toy_spec(AUTO, "resources.workers=2"), toy_table, print).gpus == 1
    assert not asked


def test_a_corner_that_cannot_be_measured_gets_a_whole_card(toy_spec, toy_table, machine):
    said, _ = [], machine(8, 1, state="raised", why="ValueError: no")

    assert packing.settled(toy_spec(AUTO), toy_table, said.append).gpus == 1
    assert "could not be measured: ValueError: no" in said[0]


def test_a_number_is_left_alone(toy_spec, toy_table, machine):
    asked, spec = machine(8, 1), toy_spec("resources.gpus=0.5")

    assert packing.settled(spec, toy_table, print) is spec.resources and not asked


def test_a_cluster_elsewhere_cannot_be_measured_here(toy_spec, tmp_path):
    with pytest.raises(ResourceError, match="E514.*trials run at head:6379 - give a number"):
        api.tune(toy_spec(AUTO), out=tmp_path, address="head:6379")

    assert not list(tmp_path.iterdir())


def test_workers_of_a_torch_trainer_elsewhere_need_a_disk_of_all(toy_spec):
    with pytest.raises(ResourceError, match="E515.*a disk that all nodes of head:6379 share"):
        api.tune(toy_spec("resources.backend=trainer"), out="s3://runs", address="head:6379")


def test_gpus_are_a_number_or_auto(toy_spec, capsys):
    for wrong in ("lots", "-1"):
        with pytest.raises(SpecError, match="E303.*resources.gpus"):
            toy_spec(f"resources.gpus={wrong}")
    with pytest.raises(SystemExit) as stop:
        main(["tune", toy_spec().path, "--gpus", "lots"])
    assert stop.value.code == 2 and "'lots' is not a valid float range" in capsys.readouterr().err


@pytest.mark.parametrize(("cards", "expected"), [(2, 1.0), (0, 0.0)])
def test_one_training_has_a_card_for_itself(toy_spec, monkeypatch, cards, expected):
    monkeypatch.setattr("gxsearch.search.launch.local_resources", lambda: (8, cards))

    assert single(toy_spec(AUTO), None, 1).resources.gpus == expected


def test_the_share_is_kept_and_found_anew_when_a_search_is_resumed(toy_spec, tmp_path, monkeypatch, machine):
    machine(8, 1, peak=int(17.5 * GIB))
    given = []

    def search(opened, quiet, fleet, state="interrupted"):
        given.append((opened.spec.resources.gpus, opened.slots))
        opened.close(state)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "run_search", search)
    monkeypatch.setattr("gxsearch.search.launch.connected", lambda address, resources: nullcontext(4))
    monkeypatch.setattr("gxsearch.search.launch.local_resources", lambda: (8, 1))
    with pytest.raises(BaseException, match="gxsearch resume"):
        api.tune(toy_spec(AUTO), out=tmp_path, name="run", quiet=True)
    machine(8, 0)
    with pytest.raises(BaseException, match="gxsearch resume"):
        api.resume(tmp_path / "run", quiet=True)

    run = RunDir.open(tmp_path / "run")
    assert given == [(0.25, 4), (0.0, 4)]
    assert run.facts()["spec"]["resources"]["gpus"] == "auto"
    assert [event["gpus"] for event in events(run.ledger) if event["event"] == "gpus_found"] == [0.25, 0.0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_trials_share_the_card_of_this_machine(toy_spec, toy_table):
    said = []

    found = packing.settled(toy_spec(AUTO), toy_table, said.append)

    assert 0 < found.gpus <= 1 and "GiB" in said[0]
