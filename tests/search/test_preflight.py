"""Whatever a search refuses, its dry run and the doctor refuse by the same line, before anything begins."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asd_ray import api
from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.prepare import prepare
from asd_ray.data.synthetic import write_corpus
from asd_ray.doctor.finding import examine
from asd_ray.doctor.search import check_planned
from asd_ray.errors import InputError
from asd_ray.search import forecast
from asd_ray.search.preflight import check_search
from asd_ray.search.runfolder import Kept, open_run
from tests.hidden import hidden

AWAY = Kept(kind="postgresql", place="far.away:5432/asd", prefix="first-")
WIDE = """question: How far does the scale reach?
params:
  margin: {low: 0.1, high: 1.0}
  scale: {low: 8, high: 1e6, log: true}
"""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A search that cannot begin: what it is asked, and the part of the line that names value and mend."""

    said: str
    settings: tuple[str, ...] = ()
    space: str = "noisy_arcmix"  # a name, or the text of a file
    data: str = "shards"  # a fixture's name
    run: str = ""  # what the run folder holds before
    storage: str | None = None
    around: Callable[[], AbstractContextManager[None]] = field(default=nullcontext)


REFUSED = {
    "unknown system": Refused(said="system 'tastgra' is unknown; did you mean", settings=("model.name=tastgra",)),
    "unknown score": Refused(said="did you mean 'centre'", settings=("score.name=centr",)),
    "score of another system": Refused(said="leave --score out", settings=("score.name=centre",), space="ae"),
    "no score of its own": Refused(said="use auto, or one of", settings=("score.name=own_evidence",)),
    "proxy with an autoencoder": Refused(
        said="choose with labels, or another system", settings=("score.objective=proxy",), space="ae"
    ),
    "unknown space": Refused(said="no such search space; did you mean 'arcface'", space="arcfase"),
    "typo in a space": Refused(said="mine.yaml:3: params.margni: ", space=WIDE.replace("margin", "margni")),
    "empty range": Refused(said="mine.yaml:3: params.margin: need low < high", space=WIDE.replace("0.1", "2")),
    "range that no loss takes": Refused(
        said="mine.yaml:4: params.scale: got 1e+06; use a number from 0.001 to 10000", space=WIDE
    ),
    "number of another system": Refused(
        said="mine.yaml:2: params.temperature: does not act on tastgram; use another space",
        space="question: Why?\nparams: {temperature: {low: 0.01, high: 1.0}}\n",
    ),
    "number of no system of the space": Refused(
        said="mine.yaml:3: params.pretraining: does not act on tastgram or os_scl; leave it out",
        space="question: Why?\nsystem: [tastgram, os_scl]\nparams: {pretraining: {low: 0.1, high: 0.5}}\n",
    ),
    "space of another system": Refused(
        said="drop one, or give --system ae", settings=("model.name=stgram",), space="ae"
    ),
    "typo of a machine type": Refused(
        said="mine.yaml:3: machine_types.pumpp: not in the corpus; did you mean 'pump'",
        space="question: Why?\nparams: {margin: {low: 0.1, high: 1.0}}\nmachine_types: {pumpp: {margin: 0.5}}\n",
    ),
    "one machine id": Refused(
        said="leave mobilenetv2 out of the search space", space="systems", data="shards_of_single_machines"
    ),
    "no test clips": Refused(said="no machine type can be searched", data="shards_without_tests"),
    "no evaluation clips": Refused(
        said="the corpus has no labelled evaluation clips", settings=("score.protocol=dcase",)
    ),
    "missing package": Refused(
        said="run: pip install 'asd-ray[systems]'", space="systems", around=lambda: hidden("normflows")
    ),
    "storage of another kind": Refused(said="--storage: sqlite is not supported", storage="sqlite:///x.db"),
    "storage that is no URL": Refused(
        said="--storage: not of the form postgresql://", storage="postgresql://a b@/;"
    ),
    "studies in a server that is not named": Refused(
        said="give --storage postgresql://USER:PASSWORD@far.away:5432/asd, or set ASD_STORAGE", run="away"
    ),
    "studies in another server": Refused(
        said="give that one, or use another --run", run="away", storage="postgresql://me@near.by:5432/asd"
    ),
    "studies in the journal": Refused(
        said="leave out --storage, or use another --run", run="same", storage="postgresql://me@near.by:5432/asd"
    ),
    "another corpus in the run folder": Refused(
        said="the corpus has changed; use another --run", run="other corpus"
    ),
    "other settings in the run folder": Refused(
        said="train.epochs is 300 there and 7 now", run="same", settings=("train.epochs=7",)
    ),
    "another space in the run folder": Refused(
        said="the search space has changed; use another --run", run="same", space="arcface"
    ),
    "warm start from nothing": Refused(
        said="nowhere: no run.yaml there", settings=("search.warm_start=[nowhere]",)
    ),
    "config that is not there": Refused(
        said="nowhere.yaml: No such file", settings=("search.enqueue=[nowhere.yaml]",)
    ),
}


@pytest.fixture(scope="module")
def shards_of_single_machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single")
    prepare(write_corpus(folder / "machines", ids_per_type=1, train_per_id=4), folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="module")
def shards_without_tests(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untested")
    for path in small_dataset.rglob("train/*.wav"):
        link = folder / "machines" / path.relative_to(small_dataset)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    prepare(folder / "machines", folder / "shards")
    return folder / "shards"


@pytest.fixture(autouse=True)
def begins_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ASD_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "run_search", lambda *_, **__: pytest.fail("begun"))
    monkeypatch.setattr(forecast, "measure_pace", lambda *_, **__: pytest.fail("measured"))


def begin(folder: Path, shards: Path, *, held: str) -> None:
    """A run folder of the published search, as the call before would have left it."""
    ready = check_search(shards, RunConfig(), space_name="noisy_arcmix", folder=folder)
    change = {
        "same": {},
        "away": {"storage": AWAY},
        "other corpus": {"corpus": ready.run.corpus.model_copy(update={"fingerprint": "0" * 64})},
    }[held]
    folder.mkdir()
    open_run(folder, ready.run.model_copy(update=change), clips=ready.plan.clips)


def said_by_all(
    data: Path, folder: Path, config: RunConfig, *, space_name: str, storage: str | None
) -> dict[str, str]:
    """The line by which each caller refuses the search; empty where one does not."""

    def refusal(call: Callable[[], object]) -> str:
        try:
            call()
        except InputError as error:
            return str(error)
        return ""

    planned = examine(
        "search",
        lambda: check_planned(data, config, space_name=space_name, folder=folder, storage=storage),
    )
    return {
        "search": refusal(lambda: api.search(data, folder, config, space_name=space_name, storage=storage)),
        "dry run": refusal(
            lambda: api.forecast(data, config, space_name=space_name, folder=folder, storage=storage)
        ),
        "doctor": "".join(finding.text for finding in planned if finding.level == "fault"),
    }


@pytest.mark.parametrize("name", REFUSED)
def test_a_search_a_dry_run_and_the_doctor_refuse_by_the_same_line(
    name: str, small_shards: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    case = REFUSED[name]
    shards = small_shards if case.data == "shards" else request.getfixturevalue(case.data)
    space_name, folder = case.space, tmp_path / "run"
    if ":" in case.space:
        space_name = str(tmp_path / "mine.yaml")
        Path(space_name).write_text(case.space)
    if case.run:
        begin(folder, shards, held=case.run)
    before = sorted(tmp_path.rglob("*"))
    config = replace_settings(RunConfig(), case.settings)
    with case.around():
        said = said_by_all(shards, folder, config, space_name=space_name, storage=case.storage)
    assert len(set(said.values())) == 1, said
    assert case.said in said["search"]
    assert "\n" not in said["search"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name", [name for name, case in REFUSED.items() if not case.run and case.data == "shards"]
)
def test_recordings_that_are_not_prepared_are_no_way_around(
    name: str, small_dataset: Path, tmp_path: Path
) -> None:
    case = REFUSED[name]
    space_name = case.space
    if ":" in case.space:
        space_name = str(tmp_path / "mine.yaml")
        Path(space_name).write_text(case.space)
    config = replace_settings(RunConfig(), case.settings)
    with case.around(), pytest.raises(InputError) as raised:
        api.forecast(small_dataset, config, space_name=space_name, storage=case.storage)
    assert case.said in str(raised.value)


def test_what_is_checked_is_what_is_searched(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = check_search(small_shards, RunConfig(), space_name="stgram", folder=tmp_path / "run")
    assert ready.run.config.model.name == "stgram"
    assert ready.run.machine_types == ["fan", "pump"]
    assert set(ready.plan.visible_labels) == {
        row["clip_id"] for row in ready.plan.clips.to_pylist() if row["chooses"]
    }
    begun = []

    def run_search(folder: Path, run: object, **_: object) -> None:
        begun.append(run)
        raise InputError("far enough")

    monkeypatch.setattr(api, "run_search", run_search)
    with pytest.raises(InputError, match="far enough"):
        api.search(small_shards, tmp_path / "run", space_name="stgram")
    assert begun == [ready.run]


def test_a_doctor_without_data_checks_what_needs_no_clips(tmp_path: Path) -> None:
    space = tmp_path / "mine.yaml"
    space.write_text(WIDE)
    with pytest.raises(InputError, match=r"mine\.yaml:4: params\.scale: got 1e"):
        list(check_planned(None, RunConfig(), space_name=str(space), folder=tmp_path / "run"))
    space.write_text(WIDE.replace("1e6", "64"))
    (finding,) = check_planned(None, RunConfig(), space_name=str(space), folder=tmp_path / "run")
    assert finding.level == "ok"
