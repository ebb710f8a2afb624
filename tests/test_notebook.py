"""A search in a notebook: it shows one screen below its cell, heeds the kernel's interrupt, and figures are shown."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="pip install nbclient ipykernel")
pytest.importorskip("ipykernel")
from nbformat.v4 import new_code_cell, new_notebook  # noqa: E402 - it comes with nbclient

TOY = Path(__file__).parent / "toy"
ROOT = Path(__file__).parents[1]


class Session:
    """A kernel of this Python, whose cells are run one by one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
        kernel = folder / "jupyter" / "kernels" / "gx" / "kernel.json"
        kernel.parent.mkdir(parents=True)
        kernel.write_text(json.dumps({**spec, "display_name": "gx", "language": "python"}))
        monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        monkeypatch.setenv("GXSEARCH_MODELS", str(TOY))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        self.folder, self.notebook = folder, new_notebook()
        where = {"metadata": {"path": str(folder)}}
        self.client = nbclient.NotebookClient(
            self.notebook, kernel_name="gx", timeout=240, allow_errors=True, resources=where
        )

    async def run(self, source: str, interrupt_at: str | None = None) -> list:
        """Return the outputs of a cell; the kernel is interrupted once there is a path that is named."""
        self.notebook.cells.append(new_code_cell(source))
        stop = asyncio.create_task(self._interrupt(interrupt_at)) if interrupt_at else None
        await self.client.async_execute_cell(self.notebook.cells[-1], len(self.notebook.cells) - 1)
        if stop is not None:
            stop.cancel()
        return self.notebook.cells[-1].outputs

    async def _interrupt(self, path: str) -> None:
        while not list(self.folder.glob(path)):
            await asyncio.sleep(0.2)
        await self.client.km.interrupt_kernel()


def texts(outputs: list) -> list[str]:
    """Return what each output is as plain text, in their order."""
    return [
        one.get("text") or one.get("data", {}).get("text/plain") or "\n".join(one.get("traceback", []))
        for one in outputs
    ]


@pytest.fixture
def session(tmp_path, monkeypatch) -> Session:
    return Session(tmp_path, monkeypatch)


def test_a_training_shows_one_screen_and_an_interrupt_keeps_it(session):
    begin = f"import gxsearch as gx; spec = gx.load_spec({str(TOY / 'toy.yaml')!r}); spec"
    train = "gx.train(spec, sets=['budget.epochs={}'], name='{}')"

    async def work() -> list:
        async with session.client.async_setup_kernel():
            first = await session.run(begin)
            done = await session.run(train.format(5, "short"))
            figures = [await session.run(f"gx.pl.history('runs/short'{more})") for more in ("", ", static=True")]
            cut = await session.run(train.format(100000, "long"), interrupt_at="runs/long/trials/000/checkpoints/*")
            wrong = await session.run("spec.set('budget.trails', 3)")
            return [first, done, figures, cut, wrong, await session.run("gx.Run('runs/long').status")]

    first, done, figures, cut, wrong, status = asyncio.run(work())

    assert first[0].data["text/plain"].startswith("toy   toy on sim_bulk") and "<pre" in first[0].data["text/html"]
    screens = [one for one in done if one.output_type == "display_data"]
    assert len(screens) == 1 and "1/1 trials   1 complete" in screens[0].data["text/plain"]
    assert done[-1].data["text/plain"].startswith("short   done") and "image/svg+xml" in done[-1].data["text/html"]
    assert not [one for one in done if one.get("name") == "stderr"]
    assert "application/vnd.plotly.v1+json" in figures[0][-1].data and "image/svg+xml" in figures[1][-1].data
    assert (cut[-1].ename, len(cut[-1].traceback)) == ("Interrupted", 1)
    assert "gxsearch.resume(" in texts(cut)[-1]
    assert texts(wrong) == [
        "error[E301] --set budget.trails=3: unknown setting 'budget.trails' - did you mean 'trials'?"
    ]
    assert texts(status) == ["'interrupted'"]


@pytest.mark.slow
def test_a_search_on_ray_is_interrupted_and_others_run_after_it_one_of_them_in_a_thread(session):
    begin = f"import gxsearch as gx; spec = gx.load_spec({str(TOY / 'toy.yaml')!r}, 'stop=none', 'search.startup=1')"
    thread = """import threading
found = []
thread = threading.Thread(target=lambda: found.append(gx.tune(spec, name='thread', trials=2, epochs=2, quiet=True)))
thread.start(); thread.join(); found"""

    async def work() -> list:
        async with session.client.async_setup_kernel():
            await session.run(begin)
            long = "gx.tune(spec, name='a', trials=2, epochs=100000)"
            cut = await session.run(long, interrupt_at="runs/a/trials/000/checkpoints/*")
            stands = await session.run("gx.status('runs/a')")
            kept = await session.run("gx.Run('runs/a').trials['epochs'].sum() > 0")
            done = await session.run("gx.tune(spec, name='b', trials=2, epochs=2)")
            return [cut, stands, kept, done, await session.run(thread)]

    cut, stands, kept, done, threaded = asyncio.run(work())

    assert cut[-1].ename == "Interrupted" and "gxsearch.resume(" in texts(cut)[-1]
    assert texts(stands)[0].startswith("a   interrupted") and "True" in texts(kept)[0]
    assert texts(done)[0].startswith("note: ")
    assert len([one for one in done if one.output_type == "display_data"]) == 1
    assert texts(done)[-1].startswith("b   done\n2/2 trials   2 complete")
    assert "thread   done" in texts(threaded)[-1]
