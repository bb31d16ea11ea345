"""A worker outlives its trials: what goes wrong in one is an answer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.resident import Block, Resident
from asd_ray.training.messages import Answer, End, Ending, EpochReport, Start, Started, TrainTo, TrialOrder
from asd_ray.training.server import Server
from tests.training.conftest import block_of


@pytest.fixture
def order(config: RunConfig, tmp_path: Path) -> TrialOrder:
    return TrialOrder(config=config, machine_types=("fan", "pump"), score_at=(3,), folder=str(tmp_path / "a"))


@pytest.fixture
def server(clips: Resident) -> Server:
    return Server(clips, num_classes=4, device=torch.device("cpu"))


def reported(answer: Answer) -> EpochReport:
    assert isinstance(answer, EpochReport)
    return answer


def test_start_says_how_far_the_trial_is_and_epoch_reports(server: Server, order: TrialOrder) -> None:
    assert server.do(Start(order)) == Started(0)
    assert reported(server.do(TrainTo(1))).epoch == 1
    assert server.do(Start(order)) == Started(1)


def test_a_trial_that_diverges_is_an_answer_and_the_next_one_is_served(clips: Resident, order: TrialOrder) -> None:
    pcm_NL, sgram_NFT = block_of(clips)
    sgram_NFT[clips.labels.machine_type == "fan"] = np.nan
    clips = Resident(clips.labels, [Block(pcm_NL, sgram_NFT)], np.arange(len(pcm_NL)))
    server = Server(clips, num_classes=4, device=torch.device("cpu"))
    server.do(Start(order))
    assert server.do(TrainTo(1)) == Ending(End.FAILED, "the loss is nan in epoch 1")
    pump = TrialOrder(config=order.config, machine_types=("pump",), score_at=(3,), folder=f"{order.folder}-2")
    assert server.do(Start(pump)) == Started(0)
    assert reported(server.do(TrainTo(1))).epoch == 1


def test_a_mistake_that_no_check_has_found_fails_the_trial_that_made_it_alone(
    server: Server, order: TrialOrder
) -> None:
    config = replace_settings(order.config, ["model.name=tastgrm"])
    bad = TrialOrder(config=config, machine_types=("fan",), score_at=(), folder=order.folder)
    answer = server.do(Start(bad))
    assert isinstance(answer, Ending)
    assert answer.end is End.FAILED
    assert "system 'tastgrm' is unknown" in answer.reason
    assert server.do(Start(order)) == Started(0)


def test_an_epoch_after_a_failed_start_is_an_answer_too(server: Server, order: TrialOrder) -> None:
    assert server.do(TrainTo(1)) == Ending(End.FAILED, "AssertionError: start comes before epoch")


def test_a_full_folder_is_an_answer_that_blames_no_trial(
    server: Server, order: TrialOrder, tmp_path: Path
) -> None:
    (tmp_path / "a").touch()
    server.do(Start(order))
    answer = server.do(TrainTo(1))
    assert isinstance(answer, Ending)
    assert answer.end is End.BROKEN
    assert "cannot be written" in answer.reason
