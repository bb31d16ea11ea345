"""Trials and searches by script, without any training."""

from dataclasses import dataclass

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from asd_ray.search.studies.studies import Proposal, Studies

AXIS = {"x": FloatDistribution(0.0, 1.0)}
BEST_MARGIN = {"fan": 0.2, "pump": 0.5, "valve": 0.8}


def trial(
    number: int, curve: dict[int, float], *, state: TrialState = TrialState.COMPLETE, x: float = 0.5
) -> FrozenTrial:
    """A trial of one number, with its values by epoch; complete, the last of them is its own."""
    made = optuna.create_trial(
        state=state,
        value=curve[max(curve)] if state is TrialState.COMPLETE else None,
        params={"x": x},
        distributions=AXIS,
        intermediate_values=curve,
    )
    made.number = number
    return made


@dataclass(frozen=True, kw_only=True)
class Hills:
    """A hill per machine type over the margin; later epochs see it more clearly: by `blur` / epoch."""

    epochs: int
    blur: float

    def objective(self, proposal: Proposal, epoch: int) -> dict[str, float]:
        margin = proposal.params["margin"]
        return {name: 1 - abs(margin - BEST_MARGIN[name]) - self.blur / epoch for name in proposal.machine_types}

    def finish(self, studies: Studies, proposal: Proposal) -> None:
        """Report epoch after epoch, until the trial is stopped or complete."""
        for epoch in range(1, self.epochs + 1):
            stop = studies.report(proposal.uid, epoch, self.objective(proposal, epoch))
            if stop and epoch < self.epochs:
                studies.tell(proposal.uid, "pruned")
                return
        studies.tell(proposal.uid, "complete")

    def search(self, studies: Studies, *, stop_after: int | None = None) -> list[Proposal]:
        """Ask and finish until the studies have no more, or so many are done."""
        done: list[Proposal] = []
        while (stop_after is None or len(done) < stop_after) and (proposal := studies.ask()) is not None:
            self.finish(studies, proposal)
            done.append(proposal)
        return done
