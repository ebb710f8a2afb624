"""A training step of transformer beside that of BertForMaskedLM of the `transformers` library, in the same run.

    python tests/benchmarks/transformer_step.py HF_PYTHON [--width 128 --layers 4 --heads 4 --length 512 --rows 16]

HF_PYTHON is the interpreter of an environment with torch and transformers, which is no dependency of gxsearch. Both
have the same width, layers, heads, length of the sequence and 15 % of tokens hidden; a step is forward, backward and
AdamW (fused) on one thread, and each side is measured in turn, so that both meet the same load. BERT is as the
originals have it: a vocabulary of 274 words and the bins, and a head over all positions and the whole vocabulary; it is
measured with its own attention (sdpa) and with the eager one, with its dropout of 0.1 and without. Ours hides tokens
within the step; BERT's batch comes with them hidden. With dropout, ours drops whole tokens from a head's sight where
BERT drops single weights of attention. Times are of the processor; the figure is the median over rounds of the ratio
within one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""What search/launch.py gives to workers; both sides have it."""
SPECIAL, PHENOTYPES, HIDDEN_SHARE = 274, 5, 0.15


def main() -> None:
    """Print milliseconds a step of every variant, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python")
    for name, default in (("width", 128), ("layers", 4), ("heads", 4), ("length", 512), ("rows", 16), ("bins", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    given = vars(parser.parse_args())
    python = given.pop("python")
    for dropout in (0.0, 0.1):
        sides = {
            "ours": (sys.executable, "ours", ""),
            "sdpa": (python, "bert", "sdpa"),
            "eager": (python, "bert", "eager"),
        }
        took: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(given["rounds"]):
            for name, (interpreter, side, attention) in sides.items():
                took[name].append(measured(interpreter, side, {**given, "dropout": dropout, "attention": attention}))
        shown = {name: round(statistics.median(ms)) for name, ms in took.items()}
        for name in ("sdpa", "eager"):
            ratio = statistics.median(b / a for a, b in zip(took["ours"], took[name], strict=True))
            shown[f"{name} / ours"] = round(ratio, 2)
        print(f"dropout {dropout}", "ms a step", shown, sep="  ", flush=True)


def measured(interpreter: str, side: str, given: dict) -> float:
    """Return the milliseconds of a step of one side, measured in a process of its own."""
    env = {**os.environ, **MEMORY, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [interpreter, "-W", "ignore", __file__, "--as", side, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def ours(given: dict):
    """Return a function that takes one step of transformer."""
    import torch

    from gxsearch.data.batch import Batch
    from gxsearch.data.view import Dims
    from gxsearch.models import transformer_config
    from gxsearch.models.transformer import Transformer

    transformer_config.SIZES["s"] = (given["width"], given["layers"], given["heads"])
    drops = {"dropout": given["dropout"], "attention_dropout": given["dropout"]}
    config = Transformer.Config(size="s", gene_mask=HIDDEN_SHARE, gene_mask_width=0.0, crop=0, **drops)
    genes = given["length"] - 1 - PHENOTYPES
    phenotypes = {f"p{i}": 50 for i in range(PHENOTYPES)}
    model = Transformer(config, Dims(1000, genes, n_bins=given["bins"], phenotypes=phenotypes)).train()
    optimizer = torch.optim.Adam(model.parameter_groups(Transformer.Train()), fused=True)
    x, kind = torch.randint(given["bins"], (given["rows"], genes)), torch.randint(50, (given["rows"], PHENOTYPES))
    batch = Batch(x, gene=torch.arange(genes)[None], phenotype=kind)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(batch, 0.5).total.backward()
        optimizer.step()

    return step


def bert(given: dict):
    """Return a function that takes one step of BertForMaskedLM, which must be installed where this runs."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    size = SPECIAL + given["bins"]
    config = BertConfig(
        vocab_size=size,
        hidden_size=given["width"],
        num_hidden_layers=given["layers"],
        num_attention_heads=given["heads"],
        intermediate_size=4 * given["width"],
        max_position_embeddings=given["length"],
        hidden_dropout_prob=given["dropout"],
        attention_probs_dropout_prob=given["dropout"],
        attn_implementation=given["attention"],
    )
    model = BertForMaskedLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(SPECIAL, size, (given["rows"], given["length"]))
    asked = torch.rand(ids.shape) < HIDDEN_SHARE
    batch = {"input_ids": ids.masked_fill(asked, 1), "labels": ids.masked_fill(~asked, -100)}

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(**batch).loss.backward()
        optimizer.step()

    return step


def timed(side: str, given: dict) -> None:
    """Print the median milliseconds of processor time of a step, after two that are not counted."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    step, took = {"ours": ours, "bert": bert}[side](given), []
    for _ in range(given["steps"] + 2):
        begun = time.process_time()
        step()
        took.append(1000 * (time.process_time() - begun))
    print(json.dumps(statistics.median(took[2:])))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        timed(sys.argv[2], json.loads(sys.argv[3]))
    else:
        main()
