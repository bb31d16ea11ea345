"""What publications report, set beside a search: their arithmetic, and which corpus they speak of."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest

from asd_ray.report.published import (
    AVERAGED,
    POOLED,
    SYSTEMS,
    TEST_CLIPS,
    TYPES,
    Row,
    by_protocol,
    is_dcase_2020,
    own_rows,
    published_rows,
)
from asd_ray.report.render import auc_pair
from asd_ray.scoring.metrics import Auc, machine_metrics


def test_six_figures_of_each_kind_and_the_slips_of_the_sources_are_named() -> None:
    assert all(len(system.auc) == len(system.pauc) == 6 for system in SYSTEMS)
    slips = {system.name: system.slips for system in SYSTEMS if system.slips}
    assert slips == {
        "STSASgram (Noisy-ArcMix)": ("the README prints 94.74 as average AUC; its six figures give 94.62",),
        "MobileNetV2": ("the poster prints 84.34 as average AUC; its six figures give 84.00",),
        "Glow-Aff": (
            "the poster prints 85.20 as average AUC; its six figures give 84.67",
            "the poster prints 73.90 as average pAUC; its six figures give 73.33",
        ),
    }


def test_what_the_poster_prints_for_fan_is_no_mean_over_ids() -> None:
    """The mean over four ids is largest where three are 100 and the smallest is the mAUC."""
    (tastgram,) = (system for system in SYSTEMS if system.name == "TASTgram (Noisy-ArcMix)")
    assert tastgram.auc[TYPES.index("fan")] > (92.67 + 3 * 100) / 4
    assert tastgram.protocol == POOLED


def test_averages_are_over_the_six_machine_types_or_none() -> None:
    (row,) = (row for row in published_rows() if row.name == "IDNN")
    assert auc_pair(row.average) == "76.96 / 62.57"
    assert replace(row, figures={**row.figures, "fan": None}).average is None


def test_own_rows_come_first_and_once_per_way_of_putting_ids_together() -> None:
    ids = ["id_00"] * 4 + ["id_02"] * 4
    truth = [False, False, True, True] * 2
    metrics = machine_metrics("fan", ids, is_anomaly=truth, score=[0, 1, 2, 3, 10, 11, 12, 13])
    groups = by_protocol([*published_rows(), *own_rows({"this search": {"fan": metrics, "pump": None}})])
    averaged, pooled = groups[AVERAGED][0], groups[POOLED][0]
    assert (averaged.own, pooled.own) == (True, True)
    assert averaged.figures == {"fan": Auc(1.0, 1.0), "pump": None}
    assert pooled.figures["fan"] == metrics.pooled != Auc(1.0, 1.0)
    assert [row.name for row in groups[POOLED][1:]] == ["TASTgram (Noisy-ArcMix)", "STSASgram (Noisy-ArcMix)"]
    assert averaged.average is None
    assert isinstance(averaged, Row)


def clips(*types: str, change: Callable[[int], int] = lambda count: count) -> pa.Table:
    rows = [
        {"split": "test", "machine_type": name, "machine_id": key, "is_anomaly": kind == 1}
        for name in types
        for key, counts in TEST_CLIPS[name].items()
        for kind in (0, 1)
        for _ in range(change(counts[kind]))
    ]
    return pa.Table.from_pylist(rows)


def test_the_corpus_is_known_by_the_number_of_clips_of_each_machine_id() -> None:
    assert is_dcase_2020(clips(*TYPES))
    assert is_dcase_2020(clips("fan", "valve"))
    assert is_dcase_2020(clips("fan", change=lambda count: count - 1))  # one was damaged
    assert not is_dcase_2020(clips("fan", change=lambda count: count - 9))
    assert not is_dcase_2020(clips("fan", change=lambda count: count + 1))
    assert not is_dcase_2020(
        clips("fan").filter(pa.array([row["machine_id"] != "id_06" for row in clips("fan").to_pylist()]))
    )


@pytest.mark.parametrize("column", ["machine_type", "machine_id"])
def test_other_machines_are_another_corpus(column: str) -> None:
    table = clips("fan")
    place = table.column_names.index(column)
    other = pa.array([f"{value}9" for value in table.column(column).to_pylist()])
    assert not is_dcase_2020(table.set_column(place, column, other))


def test_clips_of_the_evaluation_set_do_not_count() -> None:
    more = clips("fan").set_column(0, "split", pa.array(["eval"] * len(clips("fan"))))
    assert is_dcase_2020(pa.concat_tables([clips("fan"), more]))
    assert not is_dcase_2020(more)
