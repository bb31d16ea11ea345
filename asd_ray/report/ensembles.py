"""The confirmed configs of a machine type as one detector, and what that gains.

Members are chosen by the choosing clips alone; what the ensemble gains is said on the reporting clips.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asd_ray.config import ScoreConfig
from asd_ray.report.confirmed import Confirmed, Retrained, verdict_of
from asd_ray.report.judging import ClipRow, Judged, metrics_of
from asd_ray.scoring.ensemble import Doubles, choose_members, combined
from asd_ray.scoring.intervals import Estimate, estimate, mean_and_sd
from asd_ray.scoring.metrics import objective_value

ClipRows = Callable[[Judged], tuple[ClipRow, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The winner and the configs that help it most, seed by seed the mean of their ranks.

    One member: none helps. `gain`: ensemble minus winner alone on the reporting clips, paired.
    """

    members: tuple[str, ...]
    choosing: tuple[float, float | None]  # mean and standard deviation over seeds
    reporting: Estimate | None
    gain: Estimate | None

    @property
    def verdict(self) -> str:
        if len(self.members) == 1:
            return "no other config helps on the choosing clips"
        return verdict_of(self.gain)

    def plain(self) -> dict[str, Any]:
        return {
            "members": list(self.members),
            "choosing": {"mean": self.choosing[0], "sd": self.choosing[1]},
            "reporting": None if self.reporting is None else asdict(self.reporting),
            "gain": None if self.gain is None else asdict(self.gain),
            "verdict": self.verdict,
        }


def ensemble_of(machine_type: str, confirmed: Confirmed, *, config: ScoreConfig) -> Ensemble | None:
    """None without a winner, or where it is the only config that was confirmed."""
    configs = [one for one in confirmed.candidates if one.trainings]
    if confirmed.winner is None or len(configs) < 2:
        return None
    first = [one.uid for one in configs].index(confirmed.winner.uid)
    chose = confirmed.winner.trainings[0].chose

    def objectives(score_SB: Doubles) -> list[float]:
        values = []
        for score_B in score_SB.tolist():
            rows = [(*row[:3], score) for row, score in zip(chose, score_B, strict=True)]
            values.append(objective_value(metrics_of(machine_type, rows, config=config), config.objective))
        return [value for value in values if value is not None]

    by_config = [_scores(one, lambda judged: judged.chose) for one in configs]
    members = choose_members(by_config, lambda score_SB: mean_and_sd(objectives(score_SB))[0], first=first)
    together = combined([by_config[member] for member in members])
    return Ensemble(
        members=tuple(configs[member].uid for member in members),
        choosing=mean_and_sd(objectives(together)),
        reporting=_reporting([configs[member] for member in members], configs, config=config),
        gain=None
        if len(members) == 1
        else _reporting([configs[member] for member in members], configs, minus=confirmed.winner, config=config),
    )


def _reporting(
    members: Sequence[Retrained],
    configs: Sequence[Retrained],
    *,
    config: ScoreConfig,
    minus: Retrained | None = None,
) -> Estimate | None:
    """On the reporting clips; the seeds that chose the members report too, so all configs contend."""
    by_config = {one.uid: combined([_scores(one, lambda judged: judged.reported)]) for one in configs}
    together = combined([by_config[one.uid] for one in members])
    reported = members[0].trainings[0].reported
    if not reported:
        return None
    return estimate(
        [row[1] for row in reported],
        [row[2] for row in reported],
        together,
        minus_SB=None if minus is None else by_config[minus.uid],
        contenders=[together, *by_config.values()],
        objective=config.objective,
        max_fpr=config.max_fpr,
    )


def _scores(one: Retrained, rows: ClipRows) -> list[list[float]]:
    """score_SB of a config's trainings, their clips in one order."""
    first = [row[0] for row in rows(one.trainings[0])]
    assert all([row[0] for row in rows(judged)] == first for judged in one.trainings)
    return [[row[3] for row in rows(judged)] for judged in one.trainings]
