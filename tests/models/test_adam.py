"""Adam without torch's compiler: the same steps bit for bit, and the compiler is not there."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gxsearch.training.adam import Adam

TOY = Path(__file__).parents[1] / "toy" / "toy.yaml"
TRAINED = """
import sys
from gxsearch import api
api.train(api.load_spec({toy!r}, "budget.epochs=2", "stop=none"), out={out!r}, name="one", quiet=True)
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("fused", [True, False])
def test_its_steps_and_state_are_those_of_torchs(fused):
    (ours, our_state), (theirs, their_state) = trained(Adam, fused=fused), trained(torch.optim.Adam, fused=fused)
    (again, _) = trained(Adam, fused=fused)  # torch puts hooks on the step of a class that was used

    assert all(map(torch.equal, ours, theirs)) and all(map(torch.equal, again, theirs))
    assert our_state["param_groups"] == their_state["param_groups"]
    for number, kept in their_state["state"].items():
        assert all(torch.equal(our_state["state"][number][name], value) for name, value in kept.items())


def test_its_step_has_no_graph_and_goes_on_from_a_state():
    straight, _ = trained(Adam, steps=6)
    model, optimizer = made(Adam)
    walk(model, optimizer, 3)
    other = made(Adam)
    other[0].load_state_dict(model.state_dict())
    other[1].load_state_dict(optimizer.state_dict())
    walk(*other, 3, since=3)

    assert all(map(torch.equal, straight, other[0].parameters()))
    assert all(p.is_leaf for p in model.parameters())


def test_a_training_does_not_import_torchs_compiler(tmp_path):
    code = TRAINED.format(toy=str(TOY), out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)

    assert done.stdout.split()[-1] == "False", done.stderr


def trained(cls, *, steps=5, fused=True):
    model, optimizer = made(cls, fused)
    walk(model, optimizer, steps)
    return [p.detach() for p in model.parameters()], optimizer.state_dict()


def made(cls, fused=True):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    groups = [{"params": model[0].parameters(), "weight_decay": 0.1}, {"params": model[2].parameters()}]
    return model, cls(groups, lr=0.01, fused=fused)


def walk(model, optimizer, steps, since=0):
    for step in range(since, since + steps):
        optimizer.zero_grad()
        x = torch.randn(20, 5, generator=torch.Generator().manual_seed(step))
        model(x).square().mean().backward()
        optimizer.step()
