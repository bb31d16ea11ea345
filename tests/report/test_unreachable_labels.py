"""Reporting labels are out of reach of whatever chooses: other ones change no choice, in real small searches."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from asd_ray.data.prepare import prepare
from asd_ray.data.resident import Resident
from asd_ray.report.render import rebuild
from asd_ray.report.summary import Summary
from asd_ray.search.runfolder import TRIALS, Plan, plan_clips
from asd_ray.search.studies.storage import open_studies
from tests.local_search import Change, Commander, begin, clips_for, confirmation_of, search

# With every choice that there is: which score each machine type has, and which configs an ensemble.
# So many trials that, whatever the processor rounds, more than one is trained to its end: an ensemble needs two.
SETTINGS = ["search.trials=6", "search.confirm=2", "search.seeds=2", "train.epochs=2", "score.name=auto"]
Turn = Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]]


def flipped(labels: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return ~labels


def permuted(labels: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Another order; the few that a permutation of two labels could leave as they were are moved on."""
    shuffled = np.random.default_rng(0).permutation(labels)
    return shuffled if (shuffled != labels).any() else np.roll(labels, 1)


TURNS: dict[str, Turn] = {"flipped": flipped, "permuted": permuted}


def change_outside(choosing: set[str], turn: Turn) -> Change:
    """Change the labels of all labelled test and evaluation clips of a table but the choosing ones."""

    def change(table: pa.Table) -> pa.Table:
        rows = table.select(["clip_id", "split", "is_anomaly"]).to_pylist()
        labels = [row["is_anomaly"] for row in rows]
        touched = [
            number
            for number, row in enumerate(rows)
            if row["clip_id"] not in choosing and row["split"] in ("test", "eval") and labels[number] is not None
        ]
        for number, label in zip(touched, turn(np.array(labels)[touched].astype(bool)).tolist(), strict=True):
            labels[number] = label
        column = table.schema.get_field_index("is_anomaly")
        return table.set_column(column, "is_anomaly", pa.array(labels, pa.bool_()))

    return change


@dataclass(frozen=True)
class Corpus:
    """Shards, and the same with other reporting labels: `dcase` reads them anew, `split` keeps its halves."""

    protocol: str
    shards: Path
    other: Callable[[str], tuple[Path, Change | None]]  # by the name of a turn: shards, change of their tables


def dcase_corpus(root: Path, dataset: Path, turn: Turn | None) -> Path:
    """id_01 of fan is in the evaluation set, its labels in DCASE's list; pump has no evaluation clips at all."""
    shutil.copytree(dataset, root / "machines")
    (root / "machines" / "fan" / "eval").mkdir()
    clips = sorted((root / "machines" / "fan" / "test").glob("*_id_01_*"))
    labels = np.array([clip.name.startswith("anomaly") for clip in clips])
    rows = []
    for number, (clip, label) in enumerate(zip(clips, turn(labels) if turn else labels, strict=True)):
        name = f"id_01_{number:08d}.wav"
        clip.rename(clip.parents[1] / "eval" / name)
        rows.append([name, f"{'anomaly' if label else 'normal'}_id_01_{number:08d}.wav", str(int(label))])
    with (root / "machines" / "eval_data_list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["fan"], *rows])
    prepare(root / "machines", root / "shards")
    return root / "shards"


@pytest.fixture(scope="module", params=["split", "dcase"])
def corpus(
    request: pytest.FixtureRequest,
    small_dataset: Path,
    small_shards: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Corpus:
    if request.param == "split":
        choosing = set(plan_clips(small_shards, "split").visible_labels)
        return Corpus("split", small_shards, lambda name: (small_shards, change_outside(choosing, TURNS[name])))
    root = tmp_path_factory.mktemp("dcase")
    other = {name: (dcase_corpus(root / name, small_dataset, turn), None) for name, turn in TURNS.items()}
    return Corpus("dcase", dcase_corpus(root / "as-is", small_dataset, None), other.__getitem__)


def search_and_report(
    shards: Path, folder: Path, protocol: str, change: Change | None
) -> tuple[Resident, Plan, Summary]:
    run, plan = begin(shards, folder, SETTINGS, protocol=protocol, change=change)
    clips = clips_for(shards, plan, change=change)
    search(folder, run, Commander(clips, num_classes=len(run.corpus.classes)))
    return clips, plan, rebuild(folder)


def choices(folder: Path, summary: Summary) -> dict[str, object]:
    """All that was decided: what the studies were told, who was pruned, who was confirmed, who won."""
    run = summary.run
    studies = open_studies(folder, run, take_over=False)[0]
    told = {
        name: [
            (trial.number, trial.state.name, trial.params, trial.values, trial.intermediate_values)
            for trial in studies.trials(name)
        ]
        for name in run.machine_types
    }
    scores = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("scores.parquet")}
    objectives = {
        path.relative_to(folder).as_posix(): [epoch["choosing"] for epoch in json.loads(path.read_text())]
        for path in (folder / TRIALS).rglob("metrics.json")
    }
    winners = [
        (
            machine.machine_type,
            machine.best.place,
            machine.best.score,
            machine.best.params,
            machine.best.objective,
            machine.best.threshold,
        )
        for machine in summary.machines
        if machine.best is not None
    ]
    means = [
        [(one.uid, one.choosing) for one in machine.confirmed.candidates]
        for machine in summary.machines
        if machine.confirmed is not None
    ]
    scores_chose = [
        [(row.name, row.choosing, row.counts) for row in machine.scores] for machine in summary.machines
    ]
    ensembles = [
        (machine.ensemble.members, machine.ensemble.choosing)
        for machine in summary.machines
        if machine.ensemble is not None
    ]
    assert len(ensembles) == len(summary.machines)
    models = {path.parent.name: path.read_bytes() for path in folder.glob("models/*/*")}
    plan = confirmation_of(folder).plan
    return locals() | {"studies": None, "folder": None, "summary": None, "run": None}


def reported(summary: Summary) -> list[object]:
    return [machine.best.reporting for machine in summary.machines if machine.best is not None]


@pytest.mark.extra
def test_other_reporting_labels_change_the_report_and_no_choice(corpus: Corpus, tmp_path: Path) -> None:
    clips, plan, before = search_and_report(corpus.shards, tmp_path / "as-is", corpus.protocol, None)
    chosen = choices(tmp_path / "as-is", before)
    assert len(chosen["winners"]) == 2  # type: ignore[arg-type]
    shards, change = corpus.other("flipped")
    other_clips, other_plan, after = search_and_report(shards, tmp_path / "flipped", corpus.protocol, change)
    assert choices(tmp_path / "flipped", after) == chosen
    assert reported(after) != reported(before)
    without = {"split": {}, "dcase": {"pump": "no labelled clips"}}[corpus.protocol]
    reasons = {
        machine.machine_type: machine.not_reportable for machine in after.machines if machine.not_reportable
    }
    assert reasons == without
    assert other_plan.visible_labels == plan.visible_labels
    assert np.array_equal(other_clips.labels.is_anomaly, clips.labels.is_anomaly)


@pytest.mark.parametrize("name", TURNS)
def test_what_a_trainer_gets_holds_no_reporting_label(corpus: Corpus, name: str) -> None:
    """So no choice can depend on them: with other ones it gets the same labels, the same clips, the same order."""
    plan = plan_clips(corpus.shards, corpus.protocol)
    shards, change = corpus.other(name)
    own, other = clips_for(corpus.shards, plan).labels, clips_for(shards, plan, change=change).labels
    table = pa.table({"clip_id": own.clip_id.tolist()}).join(plan.clips, "clip_id").sort_by("clip_id").to_pylist()
    assert [row["clip_id"] for row in table] == own.clip_id.tolist()
    for row, label in zip(table, own.is_anomaly.tolist(), strict=True):
        assert label == (int(row["is_anomaly"]) if row["chooses"] else -1), row
    assert sum(bool(row["reports"]) for row in table) == {"split": 16, "dcase": 8}[corpus.protocol]
    for field in ("clip_id", "split", "machine_type", "machine_id", "class_index", "is_anomaly"):
        assert np.array_equal(getattr(own, field), getattr(other, field)), field


@pytest.mark.parametrize("name", TURNS)
def test_the_labels_that_were_changed_are_other_ones(corpus: Corpus, name: str) -> None:
    """Or the proofs above would prove nothing."""
    shards, change = corpus.other(name)
    plan = plan_clips(corpus.shards, corpus.protocol)
    now = change(plan.clips) if change else plan_clips(shards, corpus.protocol).clips
    pairs = zip(plan.clips.sort_by("clip_id").to_pylist(), now.sort_by("clip_id").to_pylist(), strict=True)
    changed = [before["reports"] for before, after in pairs if before["is_anomaly"] != after["is_anomaly"]]
    assert all(changed)
    assert len(changed) > 0


def test_other_choosing_labels_do_change_what_a_trainer_gets(small_shards: Path) -> None:
    plan = plan_clips(small_shards, "split")
    reporting = {row["clip_id"] for row in plan.clips.to_pylist() if row["reports"]}
    other = clips_for(small_shards, plan, change=change_outside(reporting, flipped)).labels
    own = clips_for(small_shards, plan).labels
    assert int(np.sum(own.is_anomaly != other.is_anomaly)) == len(plan.visible_labels)


def test_in_a_corpus_of_which_one_part_has_an_evaluation_set_the_other_part_is_split(
    small_dataset: Path, tmp_path: Path
) -> None:
    plan = plan_clips(dcase_corpus(tmp_path, small_dataset, None), "auto")
    assert plan.protocol == "mixed"
    assert plan.machine_types == ("fan", "pump")  # both have test clips to choose on
    rows = plan.clips.to_pylist()
    reporting = {(row["machine_type"], row["split"]) for row in rows if row["reports"]}
    assert reporting == {("fan", "eval"), ("pump", "test")}
    assert {row["split"] for row in rows if row["chooses"]} == {"test"}
    assert not any(row["chooses"] and row["reports"] for row in rows)
