"""A further system takes one file, one line in the table and one YAML: here, an energy that is no network."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn

from asd_ray.losses.system_loss import OwnError
from asd_ray.models import SYSTEMS, System
from asd_ray.models.sgram import MelSettings
from asd_ray.report.render import rebuild
from asd_ray.scoring.detector import Detector
from asd_ray.search.runfolder import TRIALS
from asd_ray.search.studies.storage import reading
from tests import local_search

# -- the one file


class Loudness(nn.Module):
    """How far a clip is from the mean loudness, in dB, of the normal ones."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(()))

    def forward(self, wave_BL: Tensor, sgram_BFT: Tensor, class_B: Tensor) -> tuple[Tensor, Tensor]:
        loudness_B = sgram_BFT.mean(dim=(1, 2))
        error_B = (loudness_B - self.mean).square()
        return loudness_B[:, None], torch.stack([error_B, error_B], dim=1)


# -- the one line
LOUDNESS = System(
    network=Loudness,
    mel=MelSettings(n_fft=512),
    loss_of=OwnError,
    assemble=lambda network, width, class_types: network(width=width),
    score="own_evidence",
    numbers=frozenset(),
)
# -- the one YAML
SPACE = """\
question: Is a network worth it?
system: [tastgram, loudness]
params:
  learning_rate: {low: 0.001, high: 0.01, log: true}
  margin: {low: 0.1, high: 1.0}
start:
  - {system: loudness, learning_rate: 0.002}
  - {system: tastgram, learning_rate: 0.002, margin: 0.7}
"""


@pytest.fixture
def run_folder(small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of three trials: the configuration that the search starts from, and the two starts of the space."""
    monkeypatch.setitem(SYSTEMS, "loudness", LOUDNESS)
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    settings = ["train.epochs=1", "search.trials=3", "train.learning_rate=0.003", "model.name=loudness"]
    folder = tmp_path / "run"
    run, plan = local_search.begin(small_shards, folder, settings, space_name=str(space))
    clips = local_search.clips_for(small_shards, plan, systems=run.systems)
    assert clips.row(0)[1].shape == (256, 313)  # two log-mels
    local_search.search(folder, run, local_search.Commander(clips, num_classes=len(run.corpus.classes)))
    rebuild(folder)
    return folder


def test_a_further_system_is_searched_reported_and_handed_over_like_any_other(
    run_folder: Path, small_dataset: Path
) -> None:
    with reading(run_folder, local_search.runfolder.read_run(run_folder)[0], url=None) as studies:
        trials = studies.trials("fan")
    assert [trial.params.get("system") for trial in trials] == ["loudness", "loudness", "tastgram"]
    assert [("margin" in trial.params) for trial in trials] == [False, False, True]  # inert ones are not told
    assert trials[0].distributions["system"] == CategoricalDistribution(("tastgram", "loudness"))
    assert all(trial.values is not None for trial in trials)
    text = (run_folder / "report" / "report.md").read_text()
    assert "| fan | fan-" in text
    fan = json.loads((run_folder / "report" / "summary.json").read_text())["machine_types"]["fan"]
    figures = fan["systems"]
    assert figures["tastgram"]["trial"] == "fan-2"
    for name, one in figures.items():
        assert one["params"]["system"] == name
        choosing, reporting = (f"{100 * one[role]['objective']:.1f}" for role in ("choosing", "reporting"))
        mark = "**" if one["trial"] == fan["best"]["trial"] else ""
        assert f"| {name} | {mark}{reporting}{mark} ({choosing}) |" in text
    detector = Detector(run_folder / "best" / "fan.yaml")
    assert detector.best.config.model.name == detector.best.params["system"]
    table = pq.read_table(run_folder / TRIALS / detector.best.trial / "scores.parquet").to_pylist()
    row = next(row for row in table if row["machine_type"] == "fan" and row["split"] == "test")
    found = detector.score(small_dataset / row["clip_id"]).score
    assert found == pytest.approx(row["score"], rel=1e-4, abs=1e-4)
