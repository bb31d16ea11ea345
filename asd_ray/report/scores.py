"""What each score would give of the networks that are handed over: every training has been read by all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from asd_ray.config import ScoreConfig
from asd_ray.report.judging import ClipRow, choosing_rows, labelled_rows, metrics_of
from asd_ray.scoring.intervals import mean_and_sd
from asd_ray.scoring.metrics import objective_value
from asd_ray.scoring.scores import SCORES

Tables = tuple[pa.Table, pa.Table | None]  # scores of a training, and its stand-ins where these choose
Spread = tuple[float, float | None]  # mean, and standard deviation over seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """The objective by one score, over the seeds of a winner; None where it is undefined."""

    name: str
    choosing: Spread | None
    reporting: Spread | None
    counts: bool  # whether the winner is scored by it

    def plain(self) -> dict[str, Any]:
        spreads = {"choosing": self.choosing, "reporting": self.reporting}
        return {
            "score": self.name,
            "counts": self.counts,
            **{
                role: None if found is None else {"mean": found[0], "sd": found[1]}
                for role, found in spreads.items()
            },
        }


def score_rows(
    machine_type: str, *, clips: pa.Table, trainings: Sequence[Tables], config: ScoreConfig, counts: str
) -> tuple[ScoreRow, ...]:
    """One row per score that all trainings have, in the order of the table of scores.

    `trainings` differ in the seed; `counts`: the score that their winner has.
    """

    def spread(all_rows: Iterable[tuple[ClipRow, ...]]) -> Spread | None:
        values = [
            objective_value(metrics_of(machine_type, rows, config=config), config.objective) for rows in all_rows
        ]
        defined = [value for value in values if value is not None]
        return mean_and_sd(defined) if defined else None

    def row(name: str) -> ScoreRow:
        choosing = (
            choosing_rows(machine_type, clips=clips, scores=scores, stand_ins=stand_ins, column=name)
            for scores, stand_ins in trainings
        )
        reporting = (
            labelled_rows(machine_type, "reports", clips=clips, scores=scores, column=name)
            for scores, _ in trainings
        )
        return ScoreRow(name=name, choosing=spread(choosing), reporting=spread(reporting), counts=name == counts)

    return tuple(row(name) for name in SCORES if all(name in scores.column_names for scores, _ in trainings))
