"""The nouns: names of recordings, and class indices that do not depend on what was found first."""

from pathlib import PurePosixPath

import pytest

from asd_ray.clip import NUM_SAMPLES, Clip, Machine, class_table, find_machine_id, machine_types, parse_clip

DCASE_ORDER = ["fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve"]  # of the published class indices


def test_ten_seconds_at_16_khz():
    assert NUM_SAMPLES == 160_000


@pytest.mark.parametrize(
    ("path", "machine_id", "split", "is_anomaly"),
    [
        ("ToyCar/train/normal_id_01_00000000.wav", "id_01", "train", False),
        ("ToyCar/test/normal_id_01_00000000.flac", "id_01", "test", False),
        ("ToyCar/test/anomaly_id_07_00000012.wav", "id_07", "test", True),
        ("ToyCar/eval/id_05_00000003.wav", "id_05", "eval", None),
        ("ToyCar/eval/anomaly_id_05_00000003.wav", "id_05", "eval", True),
        ("ToyCar/test/normal_id_A9_left_mic.2.wav", "id_A9", "test", False),
    ],
)
def test_a_path_says_machine_split_and_label(path, machine_id, split, is_anomaly):
    assert parse_clip(PurePosixPath(path)) == Clip(
        clip_id=path, machine_type="ToyCar", machine_id=machine_id, split=split, is_anomaly=is_anomaly
    )


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("fan/normal_id_00_00000000.wav", "lies 2 deep"),
        ("a/fan/test/normal_id_00_00000000.wav", "lies 4 deep"),
        ("f n/test/normal_id_00_00000000.wav", "machine type 'f n'"),
        ("..x/test/normal_id_00_00000000.wav", "machine type '..x'"),
        ("fan/validation/normal_id_00_00000000.wav", "folder 'validation'"),
        ("fan/valid/normal_id_00_00000000.wav", "folder 'valid'"),
        ("fan/test/normal_00000000.wav", "name"),
        ("fan/test/odd_id_00_00000000.wav", "name"),
        ("fan/test/id_00_00000000.wav", "begin it with normal_ or anomaly_"),
        ("fan/train/anomaly_id_00_00000000.wav", "move it to test/"),
        ("fan/TEST/normal_id_00_00000000.wav", "rename it to 'test'"),
        ("fan/test/normal_id_00_id_02_00000000.wav", "several machine ids (id_00, id_02); keep one of them"),
    ],
)
def test_a_path_outside_the_layout_is_refused_with_its_name_and_the_mend(path, complaint):
    with pytest.raises(ValueError, match="^" + path.replace(".", r"\.")) as refused:
        parse_clip(PurePosixPath(path))
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "machine_id"),
    [
        ("normal_id_02_00000000.wav", "id_02"),
        ("solenoid_00_id_02_1.wav", "id_02"),
        ("solenoid_00.wav", None),
        ("grid_04_id_02_id_02.wav", "id_02"),
        ("monday-id_A9.wav", "id_A9"),
        ("ID_02.wav", None),
    ],
)
def test_a_machine_id_is_a_word_of_its_own_in_a_name(name, machine_id):
    assert find_machine_id(name) == machine_id


def test_class_indices_are_those_of_the_published_network_in_any_order_found():
    found = [Machine(name, machine_id) for name in DCASE_ORDER for machine_id in ("id_00", "id_02")]
    assert class_table(reversed(found)) == class_table(found) == tuple(found)
    assert machine_types(reversed(found)) == tuple(DCASE_ORDER)


def test_a_machine_counts_once_and_case_tells_machines_apart():
    found = [Machine("fan", "id_00"), Machine("Fan", "id_00"), Machine("fan", "id_00")]
    assert class_table(found) == (Machine("Fan", "id_00"), Machine("fan", "id_00"))


def test_a_clip_knows_its_machine():
    assert parse_clip(PurePosixPath("pump/train/normal_id_04_0.wav")).machine == Machine("pump", "id_04")
