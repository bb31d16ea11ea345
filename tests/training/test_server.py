"""A worker outlives its trials: what goes wrong in one is an answer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.resident import Block, Resident
from asd_ray.training.messages import Order
from asd_ray.training.server import Server
from tests.training.conftest import block_of


@pytest.fixture
def order(config: RunConfig, tmp_path: Path) -> Order:
    return Order(config=config, machine_types=("fan", "pump"), score_at=(3,), folder=str(tmp_path / "a"))


@pytest.fixture
def server(clips: Resident) -> Server:
    return Server(clips, num_classes=4, device=torch.device("cpu"))


def test_start_says_how_far_the_trial_is_and_epoch_reports(server: Server, order: Order) -> None:
    assert server.do("start", {"order": order}) == {"epoch": 0}
    assert server.do("epoch", {"to": 1})["epoch"] == 1
    assert server.do("start", {"order": order}) == {"epoch": 1}


def test_a_trial_that_diverges_is_an_answer_and_the_next_one_is_served(clips: Resident, order: Order) -> None:
    pcm_NL, sgram_NFT = block_of(clips)
    sgram_NFT[clips.labels.machine_type == "fan"] = np.nan
    clips = Resident(clips.labels, [Block(pcm_NL, sgram_NFT)], np.arange(len(pcm_NL)))
    server = Server(clips, num_classes=4, device=torch.device("cpu"))
    server.do("start", {"order": order})
    assert server.do("epoch", {"to": 1}) == {"failed": "the loss is nan in epoch 1"}
    pump = Order(config=order.config, machine_types=("pump",), score_at=(3,), folder=f"{order.folder}-2")
    assert server.do("start", {"order": pump}) == {"epoch": 0}
    assert server.do("epoch", {"to": 1})["epoch"] == 1


def test_a_mistake_of_the_user_is_an_answer_that_blames_no_trial(server: Server, order: Order) -> None:
    config = replace_settings(order.config, ["model.name=tastgrm"])
    bad = Order(config=config, machine_types=("fan",), score_at=(), folder=order.folder)
    answer = server.do("start", {"order": bad})
    assert answer == {"broken": "system 'tastgrm' is unknown; did you mean 'tastgram'?"}


def test_an_epoch_after_a_failed_start_is_an_answer_too(server: Server, order: Order) -> None:
    assert server.do("epoch", {"to": 1}) == {"failed": "AssertionError: start comes before epoch"}


def test_a_full_folder_is_an_answer_that_blames_no_trial(server: Server, order: Order, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    server.do("start", {"order": order})
    assert "cannot be written" in server.do("epoch", {"to": 1})["broken"]
