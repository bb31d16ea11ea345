"""What is odd about recordings stands beside every result that rests on them."""

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from asd_ray import api
from asd_ray.data.prepare import prepare
from asd_ray.doctor.corpus import check_corpus
from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import dump, load, read_yaml
from asd_ray.report.render import rebuild
from asd_ray.scoring.detector import Best
from asd_ray.search.forecast import list_data
from asd_ray.search.runfolder import RUN, Run, plan_clips, refuse_other

SHORT = "shorter than 10 s: repeated"
LINE = f"fan: recordings that are used though odd: {SHORT} (2)"


@pytest.fixture(scope="module")
def odd_shards(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of a corpus in which two fans were recorded for three seconds."""
    root = shutil.copytree(small_dataset, tmp_path_factory.mktemp("odd") / "machines")
    for path in sorted((root / "fan/test").iterdir())[:2]:
        pcm, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path, pcm[: 3 * rate], rate)
    prepare(root, root.parent / "shards")
    return root.parent / "shards"


def test_the_plan_and_the_doctor_tell_of_odd_recordings(odd_shards: Path) -> None:
    assert list_data(odd_shards, valid_fraction=0.05).note_lines == (LINE,)
    assert LINE in [finding.text for finding in check_corpus(odd_shards)]
    assert plan_clips(odd_shards, "auto").corpus(odd_shards).notes == {"fan": {SHORT: 2}}


def test_a_search_tells_of_odd_recordings_before_it_begins(
    odd_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    told: list[object] = []
    monkeypatch.setattr(api, "run_search", interrupted)
    with pytest.raises(KeyboardInterrupt):
        api.search(odd_shards, tmp_path / "run", on_event=told.append)
    assert LINE in told
    assert load(tmp_path / "run" / RUN, Run).corpus.notes == {"fan": {SHORT: 2}}


def test_report_summary_and_detector_say_on_what_they_rest(finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    document, _ = read_yaml(folder / RUN)
    document["corpus"]["notes"] = {"fan": {SHORT: 2}}
    (folder / RUN).write_text(dump(document))
    rebuild(folder)
    assert load(folder / "best/fan.yaml", Best).notes == {SHORT: 2}
    assert load(folder / "best/pump.yaml", Best).notes == {}
    summary = json.loads((folder / "report/summary.json").read_text())
    assert summary["corpus"]["notes"] == {"fan": {SHORT: 2}}
    for page in ("report.md", "index.html"):
        assert (folder / "report" / page).read_text().casefold().count(LINE.casefold()) == 1


def test_what_was_written_before_notes_were_kept_is_read(finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    document, _ = read_yaml(folder / RUN)
    document["corpus"].pop("notes", None)
    (folder / RUN).write_text(dump(document))
    assert load(folder / RUN, Run).corpus.notes == {}
    rebuild(folder)
    best, _ = read_yaml(folder / "best/fan.yaml")
    del best["notes"]
    (folder / "best/fan.yaml").write_text(dump(best))
    assert load(folder / "best/fan.yaml", Best).notes == {}


def test_a_run_goes_on_with_the_labels_that_it_began_with(finished_run: Path) -> None:
    run = load(finished_run / RUN, Run)
    refuse_other(finished_run / RUN, run, run)
    with pytest.raises(InputError, match="protocol is split there and mixed now; use another --run"):
        refuse_other(finished_run / RUN, run, run.model_copy(update={"protocol": "mixed"}))
