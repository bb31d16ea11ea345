"""The config of a run: published defaults, strict values, and an identity that follows from the science alone."""

from pathlib import Path

import pytest

from asd_ray.config import (
    TUNABLE,
    RunConfig,
    load_config,
    params_of,
    replace_settings,
    signature,
    with_params,
)
from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import dump, load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def test_the_defaults_are_the_published_ones() -> None:
    config = RunConfig()
    assert config.loss.model_dump() == {
        "margin": 0.7,
        "scale": 30.0,
        "mixup_alpha": 0.5,
        "noise_prob": 1.0,
        "mix_prob": 1.0,
        "temperature": 0.02,
        "pretraining": 0.25,
    }
    assert (config.train.learning_rate, config.train.final_learning_rate) == (1e-4, 1e-5)
    assert (config.train.batch_size, config.train.epochs) == (64, 300)
    assert (config.model.name, config.model.width) == ("tastgram", 1.0)
    assert (config.score.name, config.score.max_fpr) == ("margin_cross_entropy", 0.1)


def test_a_typo_is_answered_with_file_line_and_nearest_key(path: Path) -> None:
    path.write_text("loss: {margin: 0.5}\nsearch:\n  # how many\n  trails: 4\n")
    with pytest.raises(InputError) as raised:
        load_config(path)
    assert str(raised.value) == f"{path}:4: search.trails: unknown key; did you mean 'trials'?"


@pytest.mark.parametrize(
    "text",
    [
        "loss: {margin: 1.6}",
        "loss: {margin: -0.1}",
        "loss: {margin: .nan}",
        "loss: {scale: 0.0}",
        "loss: {scale: .inf}",
        "loss: {noise_prob: 1.01}",
        "loss: {margin: true}",
        "loss: {margin: '0.5'}",
        "train: {epochs: 0}",
        "train: {epochs: 2.0}",
        "train: {batch_size: 1}",
        "train: {seed: -1}",
        "score: {protocol: half}",
        "score: {threshold_quantile: 1.0}",
        "search: {eta: 1}",
        "search: {prune: 1}",
        "lanes: {workers: 0}",
        "lanes: {gpus: 1.5}",
        "model:",
    ],
)
def test_values_out_of_range_or_of_another_type_are_refused(path: Path, text: str) -> None:
    path.write_text(text + "\n")
    section = text.partition(":")[0]
    with pytest.raises(InputError, match=rf"file\.yaml:1: {section}"):
        load_config(path)


def test_small_floats_are_numbers_in_files_and_settings(path: Path) -> None:
    path.write_text("train: {learning_rate: 1e-5}\n")
    config = load_config(path, ["train.weight_decay=2e-6", "loss.scale=8"])
    assert (config.train.learning_rate, config.train.weight_decay, config.loss.scale) == (1e-5, 2e-6, 8)


def test_settings_come_after_the_file_and_the_last_one_wins(path: Path) -> None:
    path.write_text("train: {epochs: 5, seed: 1}\n")
    config = load_config(path, ["train.epochs=6", "train.epochs=7", "search.scope=own", "search.prune=false"])
    assert (config.train.epochs, config.train.seed) == (7, 1)
    assert (config.search.scope, config.search.prune) == ("own", False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs", "--set train.epochs: expected key=value, e.g. train.epochs=20"),
        ("=3", "--set =3: expected key=value, e.g. train.epochs=20"),
        ("train.epochs=[", "--set train.epochs=[: '[' is not a value"),
        ("train.epochs=2020-99-99", "--set train.epochs=2020-99-99: '2020-99-99' is not a value"),
        ("train.epoch=3", "--set train.epoch=3: train.epoch: unknown key; did you mean 'epochs'?"),
        ("trian.epochs=3", "--set trian.epochs=3: trian: unknown key; did you mean 'train'?"),
        ("train.epochs.x=1", "--set train.epochs.x=1: train.epochs: unknown key"),
        (
            "train.epochs=0",
            "--set train.epochs=0: train.epochs: input should be greater than or equal to 1, got 0",
        ),
        ("loss.margin=nan", "--set loss.margin=nan: loss.margin: input should be a finite number, got nan"),
        (
            "search.sampler=gb",
            "--set search.sampler=gb: search.sampler: got 'gb'; use 'auto', 'gp', 'tpe' or 'random'",
        ),
    ],
)
def test_a_wrong_setting_is_quoted_with_its_mend(setting: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        replace_settings(RunConfig(), [setting])
    assert str(raised.value) == message


def test_a_dumped_config_reads_back_equal(path: Path) -> None:
    settings = ["train.learning_rate=3.3e-7", "lanes.gpus=0.5", "loss.margin=0.1", "model.name=1e5x"]
    config = replace_settings(RunConfig(), settings)
    path.write_text(dump(config.model_dump()))
    assert load(path, RunConfig) == config


def test_the_config_part_of_a_run_or_best_file_counts(path: Path) -> None:
    config = replace_settings(RunConfig(), ["train.epochs=3"])
    path.write_text(dump({"machine_type": "fan", "params": {"margin": 0.1}, "config": config.model_dump()}))
    assert load_config(path, ["train.seed=5"]) == replace_settings(config, ["train.seed=5"])


def test_an_error_in_the_config_part_names_its_line(path: Path) -> None:
    path.write_text("machine_type: fan\nconfig:\n  loss:\n    marjin: 0.5\n")
    with pytest.raises(InputError) as raised:
        load_config(path)
    assert str(raised.value) == f"{path}:4: loss.marjin: unknown key; did you mean 'margin'?"


def test_configs_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().train.epochs = 3


@pytest.mark.parametrize(
    "setting",
    [
        "loss.margin=0.5",
        "train.epochs=299",
        "train.seed=1",
        "search.seed=1",
        "search.eta=4",
        "model.width=0.5",
        "score.protocol=paper",
        "search.scope=own",
        "search.sampler=tpe",
        "train.learning_rate=1.1e-4",
        "lanes.workers=2",
    ],
)
def test_the_signature_changes_with_the_science(setting: str) -> None:
    assert signature(replace_settings(RunConfig(), [setting])) != signature(RunConfig())


@pytest.mark.parametrize(
    "setting",
    [
        "search.trials=61",
        "lanes.count=3",
        "lanes.cpus=2",
        "lanes.inline=true",
        "lanes.resident=shared",
        "search.confirm=3",
        "search.seeds=7",
    ],
)
def test_the_signature_does_not_change_with_lanes_or_the_number_of_trials(setting: str) -> None:
    assert signature(replace_settings(RunConfig(), [setting])) == signature(RunConfig())


def test_the_signature_joins_in_what_lies_outside_the_config() -> None:
    assert len(signature(RunConfig())) == 8
    assert len({signature(RunConfig(), *more) for more in [(), ("a",), ("b",), ("a", "b")]}) == 4


def test_the_point_of_a_config_is_what_with_params_puts_in() -> None:
    point = {"margin": 0.2, "scale": 16.0, "noise_prob": 0.0, "learning_rate": 1e-3}
    found = params_of(with_params(RunConfig(), point))
    assert set(found) == set(TUNABLE)
    assert found == params_of(RunConfig()) | point
    assert with_params(RunConfig(), params_of(RunConfig())) == RunConfig()


def test_a_sampled_value_outside_the_configs_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"search space: loss\.margin: .* got 2\.0"):
        with_params(RunConfig(), {"margin": 2.0})
