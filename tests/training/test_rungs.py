"""When trials are judged."""

import pytest

from asd_ray.training.rungs import rungs


@pytest.mark.parametrize(
    ("epochs", "eta", "expected"),
    [(1, 3, ()), (2, 3, (1,)), (3, 3, (1,)), (4, 3, (1,)), (9, 3, (3,)), (300, 3, (100,)), (9, 2, (4,))],
)
def test_the_rung_is_at_one_eta_th_of_the_budget_and_never_its_last_epoch(
    epochs: int, eta: int, expected: tuple[int, ...]
) -> None:
    assert rungs(epochs, eta) == expected
