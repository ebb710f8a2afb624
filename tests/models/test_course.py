"""The course of an objective: when it ends a training, and when it lowers the learning rate."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gxsearch.models.base import TrainConfig
from gxsearch.training.course import Course, is_last


def course(values, *, mode="min", length=100, warmup=0, **train) -> Course:
    """Return the course of values, followed until it ends."""
    found = Course(TrainConfig(**train), mode, length, warmup)
    for epoch, value in enumerate(values, 1):
        found.see(epoch, value)
        if found.ending is not None:
            break
    return found


def test_patience_ends_a_training_that_many_epochs_after_its_best():
    found = course([5, 4, 3, 3, 3.5, 2, 2, 2, 2, 1], patience=3)

    assert (found.epoch, found.best_epoch, found.best) == (9, 6, 2)
    assert found.ending == "no better epoch in 3"


def test_no_patience_ends_only_when_the_epochs_are_up():
    found = course([1.0] * 50, length=20)

    assert (found.epoch, found.ending) == (20, "")


def test_improvements_below_min_delta_wear_patience_out_but_the_best_epoch_is_the_best():
    creeping = [1 - 0.01 * i for i in range(50)]

    assert course(creeping, patience=4).ending is None
    found = course(creeping, patience=4, min_delta=0.025)
    assert found.ending is None, "each is too small, three of them are not"
    found = course(creeping, patience=2, min_delta=0.025)
    assert (found.epoch, found.best_epoch, found.ending) == (3, 3, "no better epoch in 2")


@pytest.mark.parametrize(("mode", "target", "ends"), [("min", 2.0, 3), ("max", 4.0, 2), ("min", 2.5, 3)])
def test_a_training_ends_where_the_target_is_reached_or_passed(mode, target, ends):
    values = {"min": [4, 3, 2, 1], "max": [3, 4, 5, 6]}[mode]

    found = course(values, mode=mode, target=target)

    assert (found.epoch, found.ending) == (ends, "target reached")


def test_neither_patience_nor_target_nor_plateau_count_during_the_warmup():
    values = [1, 0.1, 5, 5, 5, 5, 5, 5, 5, 5]
    settings = {"patience": 3, "schedule": "plateau", "plateau_patience": 2}

    found = course(values, warmup=5, **settings)
    assert (found.epoch, found.factor) == (8, 0.5)
    assert course(values, **settings).epoch == 5
    assert course(values, warmup=2, target=0.2).ending is None
    assert course(values, warmup=1, target=0.2).epoch == 2


def test_a_plateau_lowers_the_rate_each_time_that_its_patience_is_over():
    settings = {"schedule": "plateau", "plateau_patience": 2, "plateau_factor": 0.1}

    factors = [course([3, 2, 2, 2, 1, 1, 1, 1, 1][:n], **settings).factor for n in range(1, 10)]

    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])
    assert course([1] * 9).factor == 1.0, "another schedule"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(1, 29), st.integers(0, 6))
def test_a_course_gone_on_from_a_checkpoint_equals_one_that_was_not_cut(values, cut, warmup):
    config = TrainConfig(patience=4, min_delta=0.05, schedule="plateau", plateau_patience=2)
    whole = Course(config, "min", 40, warmup)
    part = Course(config, "min", 40, warmup)
    for epoch, value in enumerate(values, 1):
        whole.see(epoch, value)
        part.see(epoch, value)
        if epoch == cut:
            record = {"epoch": epoch, "best": part.best, "best_epoch": part.best_epoch, "course": part.state()}
            part = Course(config, "min", 40, warmup)
            part.resume(json.loads(json.dumps(record)))

    part.value = whole.value  # of the epoch alone: what follows does not ask for it
    assert part == whole


def test_a_checkpoint_of_a_version_without_a_course_is_gone_on_from_at_its_best():
    found = Course(TrainConfig(patience=2), "min", 40)
    found.resume({"epoch": 7, "best": 0.5, "best_epoch": 6})

    assert [found.see(epoch, value) for epoch, value in ((8, 0.6), (9, 0.7))] == [False, False]
    assert (found.best_epoch, found.ending) == (6, "no better epoch in 2")


def test_metrics_that_do_not_tell_whether_they_are_the_last_are_so_at_full_length():
    assert is_last({"epoch": 8}, 8) and not is_last({"epoch": 7}, 8)
    assert is_last({"epoch": 3, "last": 1.0}, 8) and not is_last({"epoch": 8, "last": 0.0}, 9)
