"""A search with plain Ray Tune and Optuna, as its guides teach it; faults_plain_tune.py puts it through faults."""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch


def train(config):
    """Train one trial; save every epoch, and go on from what was saved."""
    done, checkpoint = 0, tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            done = json.loads(Path(folder, "state.json").read_text())["epoch"]
    for epoch in range(done + 1, config["epochs"] + 1):
        time.sleep(config["sleep"])
        if config["fail"]:
            raise RuntimeError("told to fail")
        with open(config["log"], "a") as log:
            log.write(f"{tune.get_context().get_trial_id()} {epoch}\n")
        loss = math.nan if config["bad"] else (config["lr"] - 0.01) ** 2 + 1 / epoch
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "state.json").write_text(json.dumps({"epoch": epoch}))
            tune.report({"loss": loss}, checkpoint=tune.Checkpoint.from_directory(folder))


parser = argparse.ArgumentParser()
parser.add_argument("--name", default="run")
parser.add_argument("--resume", action="store_true")
parser.add_argument("--gpus", type=float, default=0)
parser.add_argument("--trials", type=int, default=12)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--sleep", type=float, default=0.15)
parser.add_argument("--fail", action="store_true")
parser.add_argument("--bad", type=int, default=0, help="of the first trials, so many have losses that are not finite")
args = parser.parse_args()
storage = Path("runs").resolve()
trainable = tune.with_resources(train, {"cpu": 1, "gpu": args.gpus})
if args.resume:
    tuner = tune.Tuner.restore(str(storage / args.name), trainable)
else:
    points = [{"lr": 0.01 * (i + 1), "bad": int(i < args.bad)} for i in range(args.trials if args.bad else 0)]
    space = {"lr": tune.loguniform(1e-4, 1e-1), "bad": tune.randint(0, 1 + bool(args.bad)), "epochs": args.epochs}
    space |= {"sleep": args.sleep, "fail": args.fail, "log": str(storage.parent / "epochs.log")}
    tuner = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            num_samples=args.trials,
            search_alg=OptunaSearch(points_to_evaluate=points or None, seed=0),
            scheduler=ASHAScheduler(max_t=args.epochs, grace_period=4, reduction_factor=2),
        ),
        run_config=tune.RunConfig(
            name=args.name, storage_path=str(storage), failure_config=tune.FailureConfig(max_failures=2), verbose=0
        ),
    )
print("best", tuner.fit().get_best_result().metrics["loss"])
