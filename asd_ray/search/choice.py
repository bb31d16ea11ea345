"""Which trials of a study may win, what each is worth, and, of several objectives, the Pareto set."""

from collections.abc import Sequence
from statistics import fmean

from optuna.trial import FrozenTrial, TrialState

TAUGHT = "warm_start_of"  # user attribute of a trial that another search ran: its name there, and when it began


def may_win(trial: FrozenTrial) -> bool:
    """Complete, and trained here: a winner needs a model, and those of another search lie elsewhere."""
    return trial.state is TrialState.COMPLETE and TAUGHT not in trial.user_attrs


def worth(trial: FrozenTrial) -> float:
    """The mean of a complete trial's objectives; of a single one, that."""
    return fmean(trial.values or [0.0])


def pareto_set(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that may win and that no other beats in one objective without losing in another.

    Best in the first objective first. Equal trials are all in it.
    """
    able = [(tuple(trial.values), trial) for trial in trials if may_win(trial)]
    kept = [
        (mine, trial)
        for mine, trial in able
        if not any(other != mine and all(o >= m for o, m in zip(other, mine, strict=True)) for other, _ in able)
    ]
    return [trial for _, trial in sorted(kept, key=lambda item: ([-value for value in item[0]], item[1].number))]
