"""The stock way is Ray's own code: OptunaSearch proposes, ASHA stops, a stopped trial is COMPLETE for Optuna."""

import pytest

from benchmarks.quality.drive import Arm
from benchmarks.quality.worlds import EPOCHS, TYPES

pytestmark = pytest.mark.extra  # imports ray.tune


def test_ashas_stops_free_epochs_for_more_trials_and_end_with_a_low_value_as_if_complete() -> None:
    from benchmarks.quality.stock import search_stock

    *_, last = search_stock(Arm("stock", stock=True, costs=(6, 12)), 0)
    assert last.epochs >= 12 * EPOCHS
    assert last.finished > 12
    for name in TYPES:
        values = [trial.value for trial in last.studies.trials(name)]
        assert len(values) == last.finished
        assert min(values) < 65 < 80 < max(values)  # epoch 1, and the end
