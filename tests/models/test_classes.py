"""Heads of classes: the Gaussian one is a discriminant analysis, remembers what it should, has no weight to learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from gxsearch.nn.classes import Classifier, Components, GaussianClasses

K, C, G = 4, 3, 25


def codes(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(n) % C
    return torch.randn(n, K, generator=generator) + 1.5 * torch.eye(C, K)[label], label


def shown(z: torch.Tensor, chance: torch.Tensor, n_rows: int) -> GaussianClasses:
    head = GaussianClasses(z.shape[1], C, n_rows)
    head.see(z, chance, float(n_rows))
    return head


def test_logits_are_those_of_sums_over_cells_one_by_one():
    z, label = codes()
    label[40:] = 0
    said = shown(z, torch.eye(C)[label], 60)(z).log_softmax(1)

    x, y = z.double().numpy(), label.numpy()
    share, mean = [(y == c).mean() for c in range(C)], [x[y == c].mean(0) for c in range(C)]
    within = sum(np.outer(row - mean[c], row - mean[c]) for row, c in zip(x, y, strict=True)) / 60
    a = K / (K + 60)
    inverse = np.linalg.inv((1 - a) * within + a * np.diag(np.diag(within)))
    want = [[np.log(share[c]) / 2 - (row - mean[c]) @ inverse @ (row - mean[c]) / 2 for c in range(C)] for row in x]
    assert torch.allclose(said.double(), torch.tensor(np.array(want)).log_softmax(1), atol=1e-3)


def test_with_many_cells_of_equal_classes_it_is_the_analysis_of_sklearn():
    z, label = codes(6000)
    reference = LinearDiscriminantAnalysis(solver="lsqr").fit(z.numpy(), label.numpy())
    said = shown(z, torch.eye(C)[label], 6000)(z).softmax(1)

    assert np.allclose(said.numpy(), reference.predict_proba(z.numpy()), atol=2e-3)


def test_what_a_batch_tells_fades_in_two_epochs():
    z, label = codes()
    head = shown(z, torch.eye(C)[label], 30)
    before = head.count.clone()
    head.see(z[:0], torch.zeros(0, C), 60.0)

    assert torch.allclose(head.count, before * math.exp(-1.0))


def test_cells_without_a_class_change_no_logits_and_soft_ones_count_in_parts():
    z, label = codes()
    chance = torch.eye(C)[label]
    known = shown(z[:30], chance[:30], 60)
    halves = shown(torch.cat([z[:30]] * 2), torch.cat([0.5 * chance[:30]] * 2), 60)
    chance[30:] = 0

    assert torch.allclose(shown(z, chance, 60)(z), known(z), atol=1e-4)
    assert torch.allclose(halves(z), known(z), atol=1e-4)


def test_before_any_cell_is_seen_all_classes_are_alike():
    z, _ = codes()

    assert torch.allclose(GaussianClasses(K, C, 60)(z).softmax(1), torch.full((60, C), 1 / C))


def test_fewer_cells_than_dimensions_and_a_class_never_seen_give_finite_logits():
    z = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    logits = shown(z, torch.eye(C)[torch.tensor([0, 0, 0, 2])], 1000)(z)

    assert logits.isfinite().all() and logits.argmax(1).tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize(("kind", "learns"), [("gaussian", 0), ("linear", 2)])
def test_only_the_linear_head_has_weights_that_are_learnt(kind, learns):
    assert len(list(Classifier(kind, K, C, 60, G).parameters())) == learns


@pytest.mark.parametrize("kind", ["gaussian", "linear"])
def test_classes_are_told_in_full_precision_under_half_precision(kind):
    head = Classifier(kind, K, C, 60, G)
    z, label = codes()
    h = torch.randn(60, G)
    head.start(h.numpy())
    head.see(z, h, torch.eye(C)[label], 60.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = head(z, h)

    assert torch.equal(half, head(z, h))


def test_components_are_those_of_pca_and_zero_beyond_the_rank():
    h = np.random.default_rng(0).normal(size=(7, G)).astype(np.float32)
    found = Components(G)
    found.start(h)

    scores = PCA(7, random_state=0).fit_transform(h)
    assert np.allclose(found(torch.from_numpy(h)).numpy()[:, :7], scores, atol=1e-4)
    assert found.weight[:, 7:].abs().sum() == 0


def test_what_codes_do_not_tell_apart_the_components_may():
    z, label = codes(300)
    h = torch.randn(300, G, generator=torch.Generator().manual_seed(1)) + 4 * torch.eye(C, G)[label]
    blind, head = torch.zeros_like(z), Classifier("gaussian", K, C, 300, G)
    head.start(h.numpy())
    head.see(blind, h, torch.eye(C)[label], 300.0)

    assert (head(blind, h).argmax(1) == label).float().mean() > 0.95
