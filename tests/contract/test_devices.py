"""A GPU trains, embeds and gives back what the CPU does; skipped where there is none."""

import numpy as np
import pytest
import torch
from rehearsal import CPU, make_job

from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, session

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


def test_a_gpu_trains_and_the_cpu_reads_its_vectors(name, table, tmp_path):
    runtime = LocalRuntime("cuda")
    bench, job = Bench(table, runtime.device), make_job(name, epochs=3)

    history = [(metrics, model) for metrics, model in session(job, bench, runtime, tmp_path)]

    metrics, model = history[-1]
    assert all(np.isfinite(value) for value in metrics.values())
    view = bench.view(job)[0]
    gpu_nk, cpu_nk = (embed_table(model, view, table, device) for device in (runtime.device, CPU))
    np.testing.assert_allclose(gpu_nk, cpu_nk, rtol=1e-3, atol=1e-3)
