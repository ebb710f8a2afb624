"""The clock of a search: whatever the order in which results arrive, they are judged in the same one."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gxsearch.search.order import Order

EPOCHS = 9
COSTS = [1.0, 2.5, 0.4, 1.0, 3.0, 0.7, 1.1]


def value(number: int, epoch: int) -> float:
    return ((number * 7919 + epoch * 104729) % 1000) / 1000


class Machine:
    """Trials that really run: each gives its next epoch whenever the random scheduler picks it."""

    def __init__(self, slots: int, seed: int, diverging: int | None = None):
        self.random, self.slots, self.diverging = random.Random(seed), slots, diverging
        self.judged: list[tuple] = []
        self.recorded: dict[int, list[float]] = {}
        self.order = Order(slots, EPOCHS, self.keep_on)
        self.really: dict[int, int] = {}
        self.created = 0

    def keep_on(self, number: int, metrics: dict) -> bool:
        rung = self.recorded.setdefault(metrics["epoch"], [])
        rung.append(metrics["best"])
        return metrics["epoch"] not in (3, 6) or metrics["best"] <= sorted(rung)[len(rung) // 2]

    def run(self) -> list[tuple]:
        while True:
            while self.created < len(COSTS) and self.order.may_create() and len(self.really) < self.slots:
                self.order.create(self.created, COSTS[self.created])
                self.really[self.created] = 0
                self.judged.append(("created", self.created))
                self.created += 1
                if self.created == len(COSTS):
                    self.order.close()
                self.take()
            if not self.really:
                assert not self.order.running
                return self.judged
            self.one_epoch(self.random.choice(sorted(self.really)))

    def one_epoch(self, number: int) -> None:
        self.really[number] += 1
        epoch = self.really[number]
        if number == self.diverging and epoch == 5:
            self.order.finish(number, "diverged", "nan")
        else:
            self.order.arrive(number, {"epoch": epoch, "best": value(number, epoch)})
        self.take()
        for gone in [
            n
            for n in self.really
            if n not in self.order.running or self.really[n] >= EPOCHS or n == self.diverging and self.really[n] >= 5
        ]:
            del self.really[gone]

    def take(self) -> None:
        self.judged += [(j.trial, j.epoch, j.state) for j in self.order.advance()]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([None, 1, 4]))
def test_judgments_do_not_depend_on_the_order_of_arrival(seed, slots, diverging):
    reference = Machine(slots, 0, diverging).run()

    assert Machine(slots, seed, diverging).run() == reference


def test_epochs_beyond_the_stop_do_not_count():
    order = Order(1, 10, lambda number, metrics: metrics["epoch"] < 3)
    order.create(0, 1.0)
    order.close()
    for epoch in range(1, 6):
        order.arrive(0, {"epoch": epoch})

    judged = list(order.advance())

    assert [j.epoch for j in judged if j.metrics is not None] == [1, 2, 3]
    assert (judged[-1].state, judged[-1].epoch) == ("stopped", 3)


def test_a_trial_may_have_fewer_epochs_than_others():
    order = Order(1, 10, lambda number, metrics: True)
    order.create(0, 1.0, 2)
    for epoch in (1, 2, 3):
        order.arrive(0, {"epoch": epoch, "last": False})

    judged = list(order.advance())

    assert (judged[-1].state, judged[-1].epoch) == ("complete", 2)


def test_a_result_told_twice_counts_once():
    order = Order(1, 10, lambda number, metrics: True)
    order.create(0, 1.0)

    assert order.arrive(0, {"epoch": 1})
    assert not order.arrive(0, {"epoch": 1})


def test_cut_ends_running_trials_where_they_are():
    order = Order(2, 10, lambda number, metrics: True)
    order.create(0, 1.0)
    order.create(1, 100.0)
    order.arrive(0, {"epoch": 1})
    order.arrive(0, {"epoch": 2})

    ends = [(j.trial, j.epoch, j.state) for j in order.cut("time budget") if j.state]

    assert ends == [(0, 2, "stopped"), (1, 0, "stopped")]
    assert not order.running


def test_a_trial_that_tells_its_last_epoch_is_complete_there():
    order = Order(1, 10, lambda number, metrics: True)
    order.create(0, 1.0)
    order.close()
    for epoch in range(1, 5):
        order.arrive(0, {"epoch": epoch, "last": float(epoch == 4)})

    *_, end = order.advance()

    assert (end.state, end.epoch) == ("complete", 4)
    assert not order.running


def test_a_trial_of_an_old_ledger_is_complete_at_full_length():
    order = Order(1, 3, lambda number, metrics: True)
    order.create(0, 1.0)
    order.close()
    for epoch in range(1, 4):
        order.arrive(0, {"epoch": epoch})

    assert [(j.epoch, j.state) for j in order.advance() if j.state] == [(3, "complete")]
