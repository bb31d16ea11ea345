"""Which labels choose and which report: no clip does both unless the protocol says so."""

import hashlib
import random
from dataclasses import dataclass, replace

import numpy as np
import pytest

from asd_ray.errors import InputError
from asd_ray.scoring.protocol import Roles, assign_roles, labelled_splits, resolve_protocol


@dataclass(frozen=True)
class Row:
    clip_id: str
    split: str
    machine_type: str
    machine_id: str
    is_anomaly: bool | None


def rows(machine_type: str, machine_id: str, *, split: str = "test", normal: int, anomaly: int) -> list[Row]:
    labels = [False] * normal + [True] * anomaly
    return [
        Row(
            f"{machine_type}/{split}/{label}_{machine_id}_{clip:08d}.wav",
            split,
            machine_type,
            machine_id,
            label,
        )
        for clip, label in enumerate(labels)
    ]


def roles_of(protocol: str, clips: list[Row]) -> Roles:
    columns = ("clip_id", "split", "machine_type", "machine_id", "is_anomaly")
    clip_id, *rest = ([getattr(clip, column) for clip in clips] for column in columns)
    return assign_roles(protocol, clip_id, **dict(zip(columns[1:], rest, strict=True)))


def chosen(clips: list[Row], roles: Roles) -> set[str]:
    return {clip.clip_id for clip, chooses in zip(clips, roles.choosing, strict=True) if chooses}


CORPUS = [
    *rows("fan", "id_00", split="train", normal=6, anomaly=0),
    *rows("fan", "id_00", normal=10, anomaly=7),
    *rows("fan", "id_02", normal=5, anomaly=2),
    *rows("pump", "id_00", normal=4, anomaly=3),
    *rows("fan", "id_01", split="eval", normal=3, anomaly=3),
    *rows("pump", "id_01", split="eval", normal=3, anomaly=3),
]


def test_auto_is_dcase_only_where_labelled_evaluation_clips_exist():
    both = {"test", "eval"}
    assert resolve_protocol("auto", {"fan": both, "pump": both, "valve": set()}) == "dcase"
    assert resolve_protocol("auto", {"fan": {"test"}, "pump": set()}) == "split"
    assert resolve_protocol("auto", {"fan": set()}) == resolve_protocol("auto", {}) == "split"
    assert resolve_protocol("auto", {"fan": both, "pump": {"test"}}) == "mixed"
    for name in ("split", "paper"):
        assert resolve_protocol(name, {"fan": both}) == name


def labels_of(clips: list[Row]) -> dict[str, set[str]]:
    columns = zip(*((clip.machine_type, clip.split, clip.is_anomaly) for clip in clips), strict=True)
    return labelled_splits(*columns)


def test_where_some_machine_types_have_an_evaluation_set_the_others_are_split():
    fan, pump = ([clip for clip in CORPUS if clip.machine_type == name] for name in ("fan", "pump"))
    pump = [clip for clip in pump if clip.split != "eval"]
    roles = roles_of(resolve_protocol("auto", labels_of([*fan, *pump])), [*fan, *pump])
    assert (roles.protocol, roles.not_searchable, roles.not_reportable) == ("mixed", {}, {})
    as_dcase, as_split = roles_of("dcase", fan), roles_of("split", pump)
    assert roles.choosing.tolist() == [*as_dcase.choosing, *as_split.choosing]
    assert roles.reporting.tolist() == [*as_dcase.reporting, *as_split.reporting]


def test_dcase_that_is_asked_for_leaves_machine_types_without_an_evaluation_set_unreported():
    clips = [clip for clip in CORPUS if not (clip.machine_type == "pump" and clip.split == "eval")]
    roles = roles_of(resolve_protocol("dcase", labels_of(clips)), clips)
    assert (roles.protocol, roles.not_searchable) == ("dcase", {})
    assert roles.not_reportable == {"pump": "no labelled clips"}


@pytest.mark.parametrize("name", ["auto", "split", "paper", "dcase"])
def test_evaluation_types_that_are_no_development_types_are_not_searched_for_the_right_reason(name):
    clips = [
        *rows("fan", "id_00", normal=4, anomaly=4),
        *rows("valve", "id_00", split="eval", normal=4, anomaly=4),
    ]
    roles = roles_of(resolve_protocol(name, labels_of(clips)), clips)
    assert roles.not_searchable == {
        "valve": "its labelled clips are all in eval/, and choose nothing: put some into test/"
    }
    assert not any(clip.split == "eval" and chooses for clip, chooses in zip(clips, roles.choosing, strict=True))
    assert ("fan" in roles.not_reportable) == (name == "dcase")


def test_dcase_without_evaluation_labels_is_refused_with_the_mend():
    with pytest.raises(InputError, match=r"eval_data_list\.csv"):
        resolve_protocol("dcase", {"fan": {"test"}})
    unlabelled = [replace(clip, is_anomaly=None) if clip.split == "eval" else clip for clip in CORPUS]
    with pytest.raises(InputError, match=r"eval_data_list\.csv"):
        roles_of("dcase", unlabelled)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match="'papers' is unknown; use auto, dcase, split, paper"):
        resolve_protocol("papers", {"fan": {"test"}})


def test_dcase_chooses_on_test_and_reports_on_eval():
    roles = roles_of("dcase", CORPUS)
    assert roles.choosing.tolist() == [clip.split == "test" for clip in CORPUS]
    assert roles.reporting.tolist() == [clip.split == "eval" for clip in CORPUS]
    assert (roles.not_searchable, roles.not_reportable) == ({}, {})


def test_paper_uses_the_test_clips_for_both():
    roles = roles_of("paper", CORPUS)
    assert roles.choosing.tolist() == roles.reporting.tolist() == [clip.split == "test" for clip in CORPUS]


def test_split_gives_every_test_clip_exactly_one_role_and_no_other_clip_any():
    roles = roles_of("split", CORPUS)
    assert (roles.choosing ^ roles.reporting).tolist() == [clip.split == "test" for clip in CORPUS]


def test_split_halves_each_label_of_each_machine_and_an_odd_one_out_chooses():
    roles = roles_of("split", CORPUS)
    counts = {}
    for clip, chooses, reports in zip(CORPUS, roles.choosing, roles.reporting, strict=True):
        if clip.split == "test":
            found = counts.setdefault((clip.machine_type, clip.machine_id, clip.is_anomaly), [0, 0])
            found[0] += chooses
            found[1] += reports
    assert counts == {
        ("fan", "id_00", False): [5, 5],
        ("fan", "id_00", True): [4, 3],
        ("fan", "id_02", False): [3, 2],
        ("fan", "id_02", True): [1, 1],
        ("pump", "id_00", False): [2, 2],
        ("pump", "id_00", True): [2, 1],
    }


def test_split_lets_the_only_anomaly_of_every_machine_id_choose():
    clips = [clip for number in range(10) for clip in rows("fan", f"id_{number:02d}", normal=1, anomaly=1)]
    assert roles_of("split", clips).choosing.all()


def test_split_takes_every_other_clip_in_the_order_of_the_hash_of_its_id():
    clips = rows("fan", "id_00", normal=5, anomaly=0)
    ordered = sorted((clip.clip_id for clip in clips), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert chosen(clips, roles_of("split", clips)) == {ordered[0], ordered[2], ordered[4]}


def test_split_does_not_follow_the_numbering_of_the_recordings():
    clips = rows("fan", "id_00", normal=200, anomaly=0)
    evens = roles_of("split", clips).choosing[::2]
    assert 30 < evens.sum() < 70


def test_roles_do_not_depend_on_the_order_of_the_clips_nor_on_other_machines():
    shuffled = random.Random(0).sample(CORPUS, len(CORPUS))
    everything = chosen(CORPUS, roles_of("split", CORPUS))
    assert chosen(shuffled, roles_of("split", shuffled)) == everything
    fans = [clip for clip in CORPUS if clip.machine_type == "fan"]
    assert chosen(fans, roles_of("split", fans)) == {name for name in everything if name.startswith("fan")}


@pytest.mark.parametrize("protocol", ["dcase", "split", "paper", "mixed"])
def test_evaluation_labels_never_reach_the_choosing_clips(protocol):
    swapped = [replace(clip, is_anomaly=not clip.is_anomaly) if clip.split == "eval" else clip for clip in CORPUS]
    before, after = roles_of(protocol, CORPUS), roles_of(protocol, swapped)
    assert np.array_equal(before.choosing, after.choosing)
    assert before.not_searchable == after.not_searchable


def test_an_unlabelled_test_clip_has_no_role():
    clips = [*CORPUS, Row("fan/test/x.wav", "test", "fan", "id_00", None)]
    for protocol in ("dcase", "split", "paper"):
        roles = roles_of(protocol, clips)
        assert not roles.choosing[-1]
        assert not roles.reporting[-1]


@pytest.mark.parametrize(
    ("clips", "reason"),
    [
        (rows("valve", "id_00", split="train", normal=3, anomaly=0), "no labelled clips"),
        (rows("valve", "id_00", normal=3, anomaly=0), "no anomalous clips"),
        (rows("valve", "id_00", normal=0, anomaly=3), "no normal clips"),
        (
            rows("valve", "id_00", normal=3, anomaly=0) + rows("valve", "id_02", normal=0, anomaly=3),
            "no machine id with both normal and anomalous clips",
        ),
    ],
)
def test_a_machine_type_that_cannot_be_searched_is_returned_with_its_reason(clips, reason):
    assert roles_of("split", CORPUS + clips).not_searchable == {"valve": reason}


def test_a_single_anomaly_is_searched_with_and_not_reported_on():
    roles = roles_of("split", rows("slider", "id_00", normal=4, anomaly=1))
    assert roles.not_searchable == {}
    assert roles.not_reportable == {"slider": "no anomalous clips"}
