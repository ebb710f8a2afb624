"""Parts of the transformer: the encoder, what is hidden in training, how hidden tokens are drawn."""

import dataclasses

import pytest
import torch

from gxsearch.data.batch import Batch
from gxsearch.nn.filling import Filling, fill
from gxsearch.nn.masking import crop, hide, read, tell
from gxsearch.nn.transformer import Encoder

GENES, BINS = 12, 3


def test_the_last_block_gives_what_is_asked_for_as_if_it_computed_all():
    torch.manual_seed(0)
    encoder = Encoder(32, 3, 4, 64, dropout=0.0, attention_dropout=0.0)
    h, asked = torch.randn(5, 9, 32), torch.rand(5, 9) < 0.4
    for length in (None, torch.tensor([9, 5, 7, 9, 6])):
        torch.testing.assert_close(encoder(h, length, asked), encoder(h, length)[asked])
    assert encoder(h, None, asked & False).shape == (0, 32)


def test_hiding_draws_the_shares_that_are_asked_for():
    torch.manual_seed(0)
    batch = Batch(torch.randint(BINS, (400, 200)), length=torch.full((400,), 150))
    asked = hide(batch, 0.2, 0.0)
    assert asked[:, :150].float().mean() == pytest.approx(0.2, abs=0.01) and not asked[:, 150:].any()
    spread = hide(dataclasses.replace(batch, length=None), 0.2, 0.6).float().mean(1)
    assert spread.min() < 0.3 and spread.max() > 0.7

    shown = read(batch.x, asked, BINS, random=0.3, keep=0.2)
    assert torch.equal(shown[~asked], batch.x[~asked])
    assert (shown[asked] == BINS).float().mean() == pytest.approx(0.5, abs=0.02)
    assert (shown[asked] == batch.x[asked]).float().mean() == pytest.approx(0.2 + 0.3 / BINS, abs=0.02)

    kind = torch.randint(3, (20_000, 1)) - 1
    told, found = tell(kind, 0.5, 0.1)
    assert (told == -2).float().mean() == pytest.approx(0.45, abs=0.01)
    assert torch.equal(found, (told == -2) & (kind >= 0))
    assert (told[kind >= 0] == -1).float().mean() == pytest.approx(0.1, abs=0.01)


def test_a_crop_keeps_tokens_beside_their_genes():
    x = torch.randint(BINS, (6, GENES))
    batch = Batch(x, gene=torch.arange(GENES)[None], length=torch.tensor([12, 5, 7, 12, 9, 3]))
    cut = crop(batch, 5)

    assert cut.x.shape == (6, 5) and cut.gene.shape == (1, 5)
    assert torch.equal(cut.x, batch.x[:, cut.gene[0]])
    assert torch.equal(cut.length, (cut.gene[0] < batch.length[:, None]).sum(1))
    assert crop(batch, 0) is batch and crop(batch, GENES) is batch


@pytest.mark.parametrize("order", ["random", "confident"])
def test_filling_draws_what_is_hidden_from_the_chances_and_leaves_the_rest(order):
    chance = torch.tensor([0.1, 0.6, 0.3])
    asked_of = []

    def predict(bin_ng, asked_ng):
        asked_of.append(int(asked_ng.sum()))
        return chance.expand(asked_of[-1], 3)

    start = torch.full((500, 40), 3)
    start[:, :4] = 2
    found = fill(predict, start, 3, Filling(5, 1.0, order, torch.Generator().manual_seed(0)))

    assert (found[:, :4] == 2).all() and asked_of[0] == 500 * 36 and len(asked_of) == 5
    assert asked_of == sorted(asked_of, reverse=True) and (found < 3).all()
    if order == "random":
        share = torch.bincount(found[:, 4:].flatten(), minlength=3) / found[:, 4:].numel()
        torch.testing.assert_close(share, chance, atol=0.02, rtol=0)
