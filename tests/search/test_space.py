"""Every shipped search space is sound, membership agrees with sampling, mistakes are named with their line."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import optuna
import pytest
from optuna.trial import FixedTrial

from asd_ray.config import NUMBERS, LossConfig, RunConfig, load_config, params_of, replace_settings, with_params
from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import read_yaml
from asd_ray.losses.mixing import LossPoint
from asd_ray.models import SYSTEMS
from asd_ray.search.space import SearchSpace, json_schema, load_space
from asd_ray.shipped import search_spaces

DCASE = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")
SHIPPED = sorted(path.stem for path in search_spaces().glob("*.yaml"))


def make(params: dict[str, object], **more: object) -> SearchSpace:
    return SearchSpace.model_validate({"question": "?", "params": params, **more})


MARGIN = {"low": 0.0, "high": 1.0}
CONDITIONAL = {"margin": MARGIN, "noise_prob": {"low": 0.0, "high": 1.0, "when": {"margin": {"above": 0.0}}}}


def test_there_are_shipped_spaces_and_the_readme_tells_of_each() -> None:
    assert "noisy_arcmix" in SHIPPED
    readme = (search_spaces() / "README.md").read_text()
    assert all(f"`{name}.yaml`" in readme for name in SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_space_has_only_valid_values_for_every_machine_type(name: str) -> None:
    space, text = load_space(name)
    space.check_against(RunConfig(), DCASE, where=name)
    assert text == (search_spaces() / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_the_start_points_of_a_shipped_space_are_inside_for_every_machine_type(name: str) -> None:
    space, _ = load_space(name)
    for machine_type in DCASE:
        study = space.of(machine_type)
        for point in [params_of(space.adopt(RunConfig())), *space.start]:
            inert = set(study.searched()) - set(study.active(point))
            assert study.contains(study.active(point)), (machine_type, point)
            assert not any(study.acts(name, study.active(point)) for name in inert), (machine_type, point)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_sampled_lies_inside(name: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, _ = load_space(name)
    for seed, machine_type in enumerate(DCASE):
        study, optimisation = (
            space.of(machine_type),
            optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)),
        )
        for _ in range(10):
            trial = optimisation.ask()
            point = study.suggest(trial)
            assert study.contains(point)
            assert study.active(point) == point
            assert set(study.distributions(point)) == set(trial.params)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_space_validates_against_the_schema_and_points_to_it(name: str) -> None:
    path = search_spaces() / f"{name}.yaml"
    jsonschema.validate(read_yaml(path)[0], json.loads(json_schema()))
    assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")


def test_the_shipped_schema_is_the_generated_one() -> None:
    assert (search_spaces() / "schema.json").read_text() == json_schema()


@pytest.mark.parametrize(
    "spoil",
    [
        {"params": {"margin": {"low": 0.1, "hihg": 1.0}}},
        {"params": {"margin": {"low": "a", "high": 1.0}}},
        {"params": {"margni": {"low": 0.1, "high": 1.0}}},
        {"params": {"margin": {"low": 0.1, "high": 1.0, "choices": [1.0, 2.0]}}},
        {"params": {}},
        {"params": {"scale": {"low": 8, "high": 1e6, "log": True}}},
        {"params": {"learning_rate": 0.0}},
        {"params": {"pretraining": {"choices": [0.5, 1.0]}}},
        {"machine_types": {"fan": {"margin": 1.6}}},
        {"start": [{"margin": "x"}]},
        {"machine_type": {}},
    ],
)
def test_the_schema_refuses_a_spoiled_space(spoil: dict[str, object]) -> None:
    document = {"question": "?", "params": {"margin": MARGIN}}
    schema = json.loads(json_schema())
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | spoil, schema)


def test_membership_is_closed_at_both_ends_and_knows_steps_and_choices() -> None:
    study = make({"margin": {"low": 0.0, "high": 1.0, "step": 0.05}, "mix_prob": {"choices": [0.0, 1.0]}}).of(
        "fan"
    )
    assert all(study.contains({"margin": value, "mix_prob": 1.0}) for value in (0.0, 0.35, 0.7, 1.0))
    assert not any(study.contains({"margin": value, "mix_prob": 1.0}) for value in (-0.05, 0.72, 1.05))
    assert not study.contains({"margin": 0.5, "mix_prob": 0.5})
    assert not study.contains({"margin": 0.5})


def test_what_is_inert_is_neither_sampled_nor_needed_nor_kept() -> None:
    study = make(CONDITIONAL).of("fan")
    assert study.conditional
    assert study.suggest(FixedTrial({"margin": 0.0})) == {"margin": 0.0}
    assert study.active({"margin": 0.0, "noise_prob": 0.5}) == {"margin": 0.0}
    assert study.contains({"margin": 0.0})
    assert not study.contains({"margin": 0.1})
    assert study.active({"margin": 0.1, "noise_prob": 0.5}) == {"margin": 0.1, "noise_prob": 0.5}


def test_a_held_value_counts_in_conditions_and_membership() -> None:
    params = {"mix_prob": 0.0, "mixup_alpha": {"low": 0.1, "high": 2.0, "when": {"mix_prob": {"above": 0.0}}}}
    space = make(params, machine_types={"pump": {"mix_prob": 1.0}})
    fan, pump = space.of("fan"), space.of("pump")
    assert fan.active({"mixup_alpha": 1.0}) == {"mix_prob": 0.0}
    assert pump.active({"mixup_alpha": 1.0}) == {"mix_prob": 1.0, "mixup_alpha": 1.0}
    assert fan.contains({})
    assert not pump.contains({})
    assert not fan.contains({"mix_prob": 1.0, "mixup_alpha": 1.0})


def test_a_machine_type_may_have_ranges_of_its_own() -> None:
    space = make({"margin": MARGIN}, machine_types={"valve": {"margin": {"low": 0.5, "high": 1.5}}})
    assert space.of("valve").contains({"margin": 1.2})
    assert not space.of("fan").contains({"margin": 1.2})


def test_a_number_that_does_not_act_on_a_system_is_inert_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYSTEMS, "plain", replace(SYSTEMS["stgram"], numbers=frozenset()))
    space = make({"margin": MARGIN, "learning_rate": {"low": 1e-4, "high": 1e-3}}, system=["tastgram", "plain"])
    study = space.of("fan")
    assert study.conditional
    assert study.searched() == ["system", "margin", "learning_rate"]
    plain = {"system": "plain", "learning_rate": 5e-4}
    assert study.suggest(FixedTrial(plain)) == plain
    assert study.active({**plain, "margin": 0.5}) == plain
    assert set(study.distributions(plain)) == set(plain)
    assert (
        study.outside({"system": "tastgram", "learning_rate": 5e-4})
        == "margin is not given, and searched in 0 to 1"
    )
    assert study.outside({**plain, "system": "stgram"}) == "system is stgram, not tastgram or plain"
    with pytest.raises(ValueError, match="does not act on plain; leave it out"):
        make({"margin": MARGIN}, system="plain")
    with pytest.raises(InputError, match=r"mine: params\.margin: does not act on plain; use another space"):
        make({"margin": MARGIN}).check_against(
            replace_settings(RunConfig(), ["model.name=plain"]), ("fan",), where="mine"
        )


def test_systems_that_share_all_numbers_make_no_space_conditional() -> None:
    study = make({"margin": MARGIN}, system=["tastgram", "stgram"]).of("fan")
    assert not study.conditional
    assert study.active({"margin": 0.5, "system": "stgram"}) == {"system": "stgram", "margin": 0.5}


def test_a_search_begins_from_a_config_of_one_of_its_systems() -> None:
    one, several = (
        make({"margin": MARGIN}, system="stgram"),
        make({"margin": MARGIN}, system=["stsasgram", "stgram"]),
    )
    assert one.adopt(RunConfig()).model.name == "stgram"
    assert several.adopt(RunConfig()).model.name == "stsasgram"
    stgram = replace_settings(RunConfig(), ["model.name=stgram"])
    assert several.adopt(stgram) == make({"margin": MARGIN}).adopt(stgram) == stgram
    for asked in ("stsasgram", "tastgram"):  # the default, too, if it is asked for
        with pytest.raises(InputError, match=f"--system {asked}: the search space is of stgram; drop one"):
            one.adopt(replace_settings(RunConfig(), ["train.epochs=2", f"model.name={asked}", "train.seed=1"]))


def test_a_search_begins_from_the_published_numbers_of_its_system_unless_they_are_set() -> None:
    def loss(space_name: str, *settings: str) -> LossConfig:
        return load_space(space_name)[0].adopt(replace_settings(RunConfig(), settings)).loss

    assert loss("os_scl") == LossConfig(margin=0.4, temperature=0.02)
    assert loss("os_scl", "loss.margin=0.7") == LossConfig(margin=0.7)  # the default, but asked for
    assert loss("stgram", "loss.scale=20") == LossConfig(mix_prob=0.0, scale=20.0)
    assert loss("clp_scf") == LossConfig(temperature=0.07)
    assert loss("systems") == loss("noisy_arcmix") == LossConfig()
    assert loss("systems", "model.name=os_scl").margin == 0.4
    assert loss("arcmix", "model.name=stgram") == LossConfig()  # it asks how to mix, and says so nowhere


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_quick_searches_of_every_system_try_what_they_start_from(name: str) -> None:
    space = load_space("noisy_arcmix" if name == "tastgram" else name)[0]
    quick = load_config(Path(__file__).parents[2] / "launch" / "quick.yaml", [f"model.name={name}"])
    study = space.of("fan")
    assert study.outside(study.active(params_of(space.adopt(quick)))) is None


def test_there_is_a_space_for_every_system() -> None:
    assert {"noisy_arcmix" if name == "tastgram" else name for name in SYSTEMS} <= set(SHIPPED)
    assert set(load_space("systems")[0].systems) == set(SYSTEMS)


def test_the_rows_of_the_published_comparison_of_losses_are_among_the_starts_of_all_systems() -> None:
    space = load_space("systems")[0]
    mixed = {(point["system"], point.get("mix_prob"), point.get("noise_prob")) for point in space.start}
    assert {("stgram", 0.0, None), ("stgram", 1.0, 1.0), ("tastgram", 0.0, None), ("tastgram", 1.0, 0.0)} <= mixed
    arcface = space.of("fan").active({**params_of(RunConfig()), "mix_prob": 0.0})
    assert set(arcface) == {"system", "learning_rate", "mix_prob", "margin", "scale"}
    published = space.of("fan").active(params_of(space.adopt(RunConfig())))
    assert (published["system"], published["mix_prob"], published["noise_prob"]) == ("tastgram", 1.0, 1.0)
    assert "mix_prob" not in space.of("fan").active({**params_of(RunConfig()), "system": "clp_scf"})


HEAD = "question: Which?\nparams:\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEAD + "  margni: {low: 0, high: 1}\n",
            "3: params.margni: not a searchable number; did you mean 'margin'?",
        ),
        (
            HEAD + "  margin:\n    low: 1\n    high: 0\n",
            "3: params.margin: need low < high, got low 1.0 and high 0.0",
        ),
        (HEAD + "  margin: {low: 0, hihg: 1}\n", "3: params.margin.hihg: unknown key; did you mean 'high'?"),
        (
            HEAD + "  scale: {low: 0, high: 1, log: true}\n",
            "3: params.scale: a log range begins above 0, got low 0.0",
        ),
        (HEAD + "  margin: {low: 0}\n", "3: params.margin.high: missing; give it a value"),
        (
            HEAD + "  noise_prob: {low: 0, high: 1, when: {margin: {above: 0}}}\n  margin: 0.5\n",
            "3: params.noise_prob.when.margin: write margin above noise_prob",
        ),
        (
            HEAD
            + "  margin: 0.5\nmachine_types:\n  fan:\n    margin: {low: 0, high: 1, when: {scael: {above: 0}}}\n",
            "6: machine_types.fan.margin.when.scael: write scael above margin",
        ),
        (
            HEAD + "  margin: 0.5\nmachine_types:\n  fan:\n    scale: 3.0\n",
            "6: machine_types.fan.scale: not among params; known: margin",
        ),
        (
            HEAD + "  margin: {low: 0, high: 1}\nstart:\n  - {margin: 0.5}\n  - {scale: 3.0}\n",
            "6: start.1.scale: not among params; known: margin",
        ),
        (HEAD + "  margin: {low: 0, high: 1}\nstart:\n  - {margin: 2}\n", "5: start.0: outside the ranges"),
        (
            HEAD + "  margin: {low: 0, high: 1}\n  scale: {low: 1, high: 9}\nstart: [{margin: 0.5}]\n",
            "5: start.0: lacks scale",
        ),
        (
            HEAD.replace("params", "system: tastgarm\nparams") + "  margin: 0.5\n",
            "2: system: 'tastgarm' is unknown; did you mean 'tastgram'?",
        ),
        (
            HEAD + "  margin: {low: 0, high: 1}\nstart:\n  - {margin: high}\n",
            "5: start.0.margin: got 'high'",
        ),
        (
            HEAD + "  batch_size: {low: 8, high: 64}\n",
            "3: params.batch_size: needs whole numbers; give choices, or a whole low and step",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        load_space(str(path))
    assert str(raised.value) == f"{path}:{message}"


def test_a_range_that_the_config_refuses_is_refused_before_the_search() -> None:
    with pytest.raises(InputError, match=r"^wide: params\.margin: got 2; use a number from 0 to 1\.57$"):
        make({"margin": {"low": 0.1, "high": 2.0}}).check_against(RunConfig(), ("fan",), where="wide")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_space_may_reach_what_the_config_and_the_loss_take_and_no_further(name: str) -> None:
    """Otherwise a search would begin that its first trial at the end of a range cannot train."""
    number, system = NUMBERS[name], "clp_scf" if name == "pretraining" else "os_scl"

    def check(value: float) -> None:
        make({name: {"choices": [value, 0.9 if not number.is_whole else 64.0]}}, system=system).check_against(
            RunConfig(), ("fan",), where="mine"
        )

    for end, excluded in ((number.low, number.excludes_low), (number.high, number.excludes_high)):
        inside, outside = (end + sign * (1 if number.is_whole else 1e-6) for sign in (1, -1))
        if end == number.high:
            inside, outside = outside, inside
        if math.isinf(end):
            continue
        check(inside)
        config = with_params(RunConfig(), {name: inside})
        LossPoint(**config.loss.model_dump())
        if not excluded:
            check(end)
        for value in (outside, *([end] if excluded else [])):
            with pytest.raises(InputError, match=rf"^mine: params\.{name}: got .*; use a number"):
                check(value)
            with pytest.raises(InputError):
                with_params(RunConfig(), {name: value})


def test_a_range_of_one_machine_type_is_checked_where_the_corpus_has_it() -> None:
    space = make({"scale": {"low": 8, "high": 64}}, machine_types={"fan": {"scale": {"low": 8, "high": 1e6}}})
    space.check_against(RunConfig(), ("valve",), where="mine")
    message = r"^mine:7: machine_types\.fan\.scale: got 1e\+06; use a number from 0\.001 to 10000$"
    with pytest.raises(InputError, match=message):
        space.check_against(
            RunConfig(), ("fan", "valve"), where="mine", lines={("machine_types", "fan", "scale"): 7}
        )


def test_the_page_on_spaces_tells_the_range_of_every_number() -> None:
    page = (Path(__file__).parents[2] / "docs/search-spaces.md").read_text()
    for name, number in NUMBERS.items():
        assert re.search(rf"^\| `{name}`.*? \| {re.escape(str(number))} \||`{name}` \({number}\)", page, re.M), (
            name
        )


def test_a_batch_size_is_searched_in_whole_numbers() -> None:
    for spec in ({"choices": [32, 64]}, {"low": 8, "high": 64, "step": 8}):
        make({"batch_size": spec}).check_against(RunConfig(), ("fan",), where="batches")


def test_ranges_for_a_machine_type_that_the_corpus_lacks_are_a_typo() -> None:
    space = make({"margin": MARGIN}, machine_types={"valv": {"margin": MARGIN}})
    with pytest.raises(InputError, match=r"mine: machine_types\.valv: not in the corpus; did you mean 'valve'\?"):
        space.check_against(RunConfig(), DCASE, where="mine")


def test_an_unknown_name_gets_the_nearest_shipped_one() -> None:
    with pytest.raises(
        InputError, match=r"--space noisy-arcmix: no such search space; did you mean 'noisy_arcmix'\?"
    ):
        load_space("noisy-arcmix")
