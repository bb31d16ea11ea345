"""How a machine type's objective responds to the searched numbers, on trials whose objective is known."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from asd_ray.report.figures import INK
from asd_ray.report.panels import contour_panel, slice_panel
from asd_ray.report.response import Response, Slice, importances, response_of
from asd_ray.search.space import SearchSpace, StudySpace, load_space
from asd_ray.search.studies.surface import FEWEST

SPACE = load_space("noisy_arcmix")[0].of("fan")
CHOSEN = {"margin": 0.6, "scale": 20.0, "mixup_alpha": 0.5, "noise_prob": 0.9}
Objective = Callable[[dict[str, float]], float]


def hill(point: dict[str, float]) -> float:
    """Best at margin 0.6; better with scale; no other number matters."""
    return 0.9 - (point["margin"] - 0.6) ** 2 + 0.02 * np.log(point["scale"])


def trials_of(
    objective: Objective, *, size: int, space: StudySpace = SPACE, noise: float = 0.0
) -> list[FrozenTrial]:
    rng = np.random.default_rng(1)
    trials = []
    for _ in range(size):
        draws = {name: rng.random() for name in CHOSEN}
        point = {
            "margin": 0.1 + 0.9 * draws["margin"],
            "scale": 8.0 * 8 ** draws["scale"],
            "mixup_alpha": 0.1 * 20 ** draws["mixup_alpha"],
            "noise_prob": draws["noise_prob"],
        }
        point = {name: value for name, value in space.active(point).items() if name in space.searched()}
        value = objective(point) + noise * rng.normal()
        trials.append(create_trial(params=point, distributions=space.distributions(point), value=value))
    return trials


@pytest.fixture(scope="module")
def response() -> Response:
    return response_of(trials_of(hill, size=60, noise=0.01), SPACE, chosen=CHOSEN)


def test_the_number_that_matters_most_comes_first_and_shares_add_up(response: Response) -> None:
    found = response.importances
    assert found[0].name == "margin"
    assert found[0].low > 0.5
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert all(0.0 <= one.low <= one.share <= one.high <= 1.0 for one in found)
    assert response.explained > 0.8


def test_of_fewer_trials_the_importances_are_less_sure() -> None:
    widths = []
    for size in (12, 60):
        trials = trials_of(hill, size=size, noise=0.05)
        found = importances(trials, np.array([trial.value for trial in trials]), SPACE)
        widths.append(np.mean([one.high - one.low for one in found]))
    assert widths[0] > 1.3 * widths[1]


def test_a_slice_has_its_top_where_the_objective_has_and_its_interval_holds_the_truth(response: Response) -> None:
    along = {one.name: one for one in response.slices}
    margin = along["margin"]
    assert margin.values[int(np.argmax(margin.mean))] == pytest.approx(0.6, abs=0.1)
    truth = np.array([hill({**CHOSEN, "margin": value}) for value in margin.values])
    assert np.mean((truth > margin.low) & (truth < margin.high)) > 0.8
    assert margin.chosen == 0.6
    assert (margin.values[0], margin.values[-1]) == (0.1, 1.0)
    assert len(margin.trials) == 60
    flat = along["noise_prob"]
    assert np.ptp(flat.mean) < 0.3 * np.ptp(margin.mean)


def test_a_contour_is_the_surface_over_two_numbers(response: Response) -> None:
    first, second = response.contours
    assert (first.x, first.y, second.x, second.y) == ("margin", "scale", "mixup_alpha", "noise_prob")
    mean = np.array(first.mean)  # rows: scale
    assert first.x_values[int(mean.mean(axis=0).argmax())] == pytest.approx(0.6, abs=0.1)
    assert mean[-1].mean() > mean[0].mean()
    assert first.log == (False, True)


def test_luck_explains_nothing() -> None:
    found = response_of(trials_of(lambda _: 0.8, size=40, noise=0.02), SPACE, chosen=CHOSEN)
    assert found.explained < 0.1


def test_too_few_trials_and_equal_ones_are_said_to_be() -> None:
    few = response_of(trials_of(hill, size=FEWEST - 1), SPACE, chosen=CHOSEN)
    assert (few.num_trials, few.why_not) == (7, "7 complete trials, 8 at least are needed")
    equal = response_of(trials_of(lambda _: 0.8, size=20), SPACE, chosen=CHOSEN)
    assert equal.why_not == "all complete trials have the same objective"
    pruned = [create_trial(state=TrialState.PRUNED, value=None) for _ in range(20)]
    assert response_of(pruned, SPACE, chosen={}).num_trials == 0


def test_a_number_that_is_inert_in_some_trials_is_drawn_but_not_ranked() -> None:
    params = {
        "margin": {"choices": [0.0, 0.5]},
        "scale": {"low": 8.0, "high": 64.0, "log": True},
        "noise_prob": {"low": 0.0, "high": 1.0, "when": {"margin": {"above": 0.0}}},
    }
    space = SearchSpace.model_validate({"question": "?", "params": params}).of("fan")
    rng = np.random.default_rng(0)
    trials = []
    for number in range(30):
        point = space.active(
            {"margin": 0.5 * (number % 2), "scale": 8 * 8 ** rng.random(), "noise_prob": rng.random()}
        )
        value = 0.7 + 0.1 * (number % 2) + 0.01 * rng.normal()
        trials.append(create_trial(params=point, distributions=space.distributions(point), value=value))
    found = response_of(trials, space, chosen={"margin": 0.0, "scale": 20.0})
    assert {one.name for one in found.importances} == {"margin", "scale"}
    by_name = {one.name: one for one in found.slices}
    assert by_name["margin"].values == (0.0, 0.5)
    assert len(by_name["noise_prob"].trials) == 15
    assert by_name["noise_prob"].chosen is None
    assert [(one.x, one.y) for one in found.contours] == [("scale", "noise_prob")]
    for svg in (slice_panel("fan", by_name["margin"]), contour_panel("fan", found.contours[0])):
        assert svg.startswith("<svg")
        assert INK not in svg


def test_panels_name_their_numbers_and_share_no_id(response: Response) -> None:
    panels = [slice_panel("fan", one) for one in response.slices]
    panels += [contour_panel("fan", one) for one in response.contours]
    assert "noise probability" in panels[-1]
    used = [set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", svg)) for svg in panels]
    assert sum(map(len, used)) == len(set().union(*used))


def test_a_figure_of_many_trials_is_small_and_its_labels_keep_their_digits() -> None:
    rates = np.geomspace(1e-5, 1e-2, 41)
    along = tuple(rates.tolist())
    flat = (0.7,) * 41
    trials = tuple((float(rate), 0.7) for rate in np.geomspace(1e-5, 1e-2, 400))
    found = Slice(
        name="learning_rate", log=True, chosen=1e-4, values=along, mean=flat, low=flat, high=flat, trials=trials
    )
    svg = slice_panel("fan", found)
    assert svg.count("<use") > 400
    assert len(svg) < 40_000  # 51 kB, were the style of each marker said again
    assert ">0.0001<" in svg
