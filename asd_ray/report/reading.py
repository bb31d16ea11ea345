"""From a run folder to its summary: every trial and training is judged once, from the scores on disk."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from optuna.trial import FrozenTrial

from asd_ray.data.manifest import read_shard
from asd_ray.errors import InputError
from asd_ray.report.confirmed import Confirmed, confirmed_of, ensemble_of, left_to_do
from asd_ray.report.edges import edges
from asd_ray.report.judging import (
    Judged,
    ScoreRow,
    Tables,
    judge,
    read_scores,
    read_stand_ins,
    reporting_estimate,
    rows_of,
    score_rows,
)
from asd_ray.report.published import is_dcase_2020
from asd_ray.report.response import response_of
from asd_ray.report.rows import pareto_points, read_history, read_rows
from asd_ray.report.summary import NOT_CONFIRMED, MachineSummary, Summary
from asd_ray.scoring.protocol import why_unusable
from asd_ray.search.confirmation import PLAN, Confirmation, SeedTraining, count_ended, read_confirmation
from asd_ray.search.runfolder import TRIALS, Run
from asd_ray.search.studies.studies import Studies
from asd_ray.search.studies.trial_store import owner_of, scores_of


def summarise(folder: Path, run: Run, *, clips: pa.Table, studies: Studies) -> Summary:
    reader = _Reader(folder, run, clips, studies)
    trials, problems = read_rows(folder, run, studies)
    machines = (reader.machine(name) for name in run.machine_types)
    return Summary(
        run=run,
        machines=tuple(
            replace(machine, problems=(*machine.problems, *problems[machine.machine_type])) for machine in machines
        ),
        trials=trials,
        confirming_seconds=reader.confirming_seconds(),
        dcase_2020=is_dcase_2020(clips),
        missing=0 if studies.resting else max(0, run.config.search.trials - count_ended(studies)),
    )


class _Reader:
    """Reads the run folder machine type by machine type, so that lost files of one do not affect the others."""

    def __init__(self, folder: Path, run: Run, clips: pa.Table, studies: Studies) -> None:
        self._folder, self._run, self._clips, self._studies = folder, run, clips, studies
        self._unreadable = ""
        self._judged: dict[tuple[str, str], Judged | None] = {}
        self._confirmation: Confirmation | None = None
        try:
            self._confirmation = read_confirmation(folder, run)
        except InputError as error:
            self._unreadable = f"{error}; delete {PLAN} and call the search with --confirm again"

    def machine(self, machine_type: str) -> MachineSummary:
        problems = [self._unreadable] if self._unreadable else []
        observed = self._trial(machine_type, self._studies.best(machine_type), problems)
        published = self._trial(machine_type, self._studies.published(machine_type), problems)
        confirmed, standing = self._confirmed(machine_type, problems)
        best, score = observed, self._run.config.score
        space = self._run.space.of(machine_type)
        if confirmed is not None:
            best = None if confirmed.winner is None else confirmed.winner.handed_over
            estimates = (confirmed.winner_estimate, confirmed.baseline_estimate)
        else:
            one_seed = [reporting_estimate((one,), config=score) if one else None for one in (best, published)]
            estimates = (one_seed[0], one_seed[1])
        return MachineSummary(
            machine_type=machine_type,
            best=best,
            observed=observed,
            published=published,
            at_edge=() if best is None else edges(space, best.params),
            confirmed=confirmed,
            best_estimate=estimates[0],
            published_estimate=estimates[1],
            standing=standing,
            not_reportable=self._why_not_reportable(machine_type),
            systems=self._systems(machine_type, problems),
            problems=tuple(problems),
            pareto=pareto_points(machine_type, self._run, self._studies),
            angles=() if best is None else angles_of(self._folder / TRIALS / best.place / "scores.parquet", best),
            response=response_of(
                self._studies.trials(machine_type), space, chosen={} if best is None else best.params
            ),
            scores=self._scores(machine_type, best, confirmed),
            ensemble=None if confirmed is None else ensemble_of(machine_type, confirmed, config=score),
        )

    def _tables(self, place: str, *, mend: str) -> Tables:
        """The scores of a training, and its stand-ins if they choose. Raises InputError if either is lost."""
        folder = self._folder / TRIALS / place
        scores = read_scores(folder / "scores.parquet", mend=mend)
        return scores, read_stand_ins(folder, config=self._run.config.score, mend=mend)

    def confirming_seconds(self) -> float:
        """Seconds of all trainings of the confirmation; a damaged history counts as 0."""
        seconds = 0.0
        for training in () if self._confirmation is None else self._confirmation.trainings():
            with suppress(InputError):
                seconds += sum(epoch.seconds for epoch in read_history(self._folder / TRIALS / training.folder))
        return seconds

    def _trial(
        self, machine_type: str, found: tuple[str, FrozenTrial] | None, problems: list[str]
    ) -> Judged | None:
        """A trial of the search, judged once even if it is best in several ways; lost files go into `problems`."""
        if found is None:
            return None
        key = (machine_type, found[0])
        if key not in self._judged:
            self._judged[key] = self._judge_trial(machine_type, *found, problems)
        return self._judged[key]

    def _judge_trial(self, machine_type: str, uid: str, trial: FrozenTrial, problems: list[str]) -> Judged | None:
        mend = "put it back, or call the search with --confirm, which trains the best configs again"
        try:
            scores, stand_ins = self._tables(uid, mend=mend)
            return judge(
                uid,
                machine_type,
                params=self._run.space.of(machine_type).active(trial.params),
                clips=self._clips,
                scores=scores,
                stand_ins=stand_ins,
                config=self._run.config.score,
                score=self._score_of_trial(uid, machine_type),
                seed=self._run.config.train.seed,
            )
        except InputError as error:
            problems.append(str(error))
            return None

    def _systems(self, machine_type: str, problems: list[str]) -> dict[str, Judged]:
        """The best trial of each system on the choosing clips; empty if there is only one system."""
        space, first = self._run.space, dict[str, tuple[str, FrozenTrial]]()
        for uid, trial in self._studies.ranking(machine_type) if len(space.systems) > 1 else ():
            first.setdefault(str(space.of(machine_type).active(trial.params)["system"]), (uid, trial))
        judged = {name: self._trial(machine_type, first.get(name), problems) for name in space.systems}
        return {name: one for name, one in judged.items() if one is not None}

    def _score_of_trial(self, uid: str, machine_type: str) -> str:
        """The score that a machine type chose in a trial; empty if there was no choice."""
        owner, number = owner_of(uid)
        return scores_of(self._studies.trials(owner)[number]).get(machine_type, "")

    def _confirmed(self, machine_type: str, problems: list[str]) -> tuple[Confirmed | None, str]:
        """The confirmation, once all of its trainings have ended, and its standing in words."""
        confirmation = self._confirmation
        if confirmation is None or not confirmation.plan.best.get(machine_type):
            return None, NOT_CONFIRMED
        left = left_to_do(machine_type, confirmation)
        if left:
            return None, f"{NOT_CONFIRMED}: {left} trainings are left, call the search with --confirm again"
        try:
            confirmed = confirmed_of(
                machine_type,
                confirmation,
                judge_training=lambda training: self._training(machine_type, training),
                config=self._run.config.score,
            )
        except InputError as error:
            problems.append(str(error))
            return None, NOT_CONFIRMED
        problems += [f"{one.uid} failed with {one.failed}" for one in confirmed.candidates if one.failed]
        since = count_ended(self._studies) - confirmation.plan.trials
        newer = f"; {since} trials have ended since, call it with --confirm again" if since > 0 else ""
        return confirmed, f"confirmed with {len(confirmed.seeds)} seeds{newer}"

    def _training(self, machine_type: str, training: SeedTraining) -> Judged:
        scores, stand_ins = self._tables(training.folder, mend="call the search with --confirm again")
        return judge(
            training.candidate.uid,
            machine_type,
            params=training.candidate.params,
            clips=self._clips,
            scores=scores,
            stand_ins=stand_ins,
            config=self._run.config.score,
            score=training.candidate.scores.get(machine_type, ""),
            seed=training.seed,
            place=training.folder,
        )

    def _scores(self, machine_type: str, best: Judged | None, confirmed: Confirmed | None) -> tuple[ScoreRow, ...]:
        """All scores of the winner's trainings, which were already judged by one of these scores."""
        if best is None:
            return ()
        winner = confirmed.winner if confirmed else None
        return score_rows(
            machine_type,
            clips=self._clips,
            trainings=[
                self._tables(one.place, mend="search again") for one in (winner.trainings if winner else (best,))
            ],
            config=self._run.config.score,
            counts=best.score,
        )

    def _why_not_reportable(self, machine_type: str) -> str:
        rows = rows_of(self._clips, machine_type)
        return why_unusable((row["machine_id"], row["is_anomaly"]) for row in rows if row["reports"])


CENTRE = "centre"  # column of scores.parquet: 1 - cosine with the centre


def angles_of(scores: Path, judged: Judged) -> tuple[float, ...]:
    """The angle of each reporting clip in order, 0 to 180 degrees; empty if the training did not keep angles."""
    try:
        table = read_shard(scores)
    except InputError:
        return ()  # the scores were lost after judging
    if CENTRE not in table.column_names:
        return ()
    distance_of = dict(zip(table.column("clip_id").to_pylist(), table.column(CENTRE).to_pylist(), strict=True))
    distance = np.array([distance_of[row[0]] for row in judged.reported], dtype=np.float64)
    if not np.isfinite(distance).all():
        return ()
    return tuple(np.degrees(np.arccos(np.clip(1.0 - distance, -1.0, 1.0))).tolist())
