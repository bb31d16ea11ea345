"""Optuna's own dashboard reads the journal of a run folder."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_ray.search.runfolder import JOURNAL, Run
from asd_ray.search.studies.storage import open_studies

STARTS_S = 60.0


@pytest.fixture(scope="module")
def dashboard(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard of a search in which one trial is running."""
    folder = tmp_path_factory.mktemp("dashboard")
    studies, _ = open_studies(folder, run, take_over=True)
    assert studies.ask() is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "optuna-dashboard", folder / JOURNAL, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def asked(url: str) -> Any:
    """The JSON there, once the server is up."""
    end = time.monotonic() + STARTS_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_it_serves_the_study_of_every_machine_type_with_the_trial_that_all_of_them_hold(
    dashboard: str, run: Run
) -> None:
    studies = asked(f"{dashboard}/api/studies")["study_summaries"]
    assert sorted(study["study_name"] for study in studies) == sorted(run.machine_types)
    assert len(studies) == 6
    for study in studies:
        (trial,) = asked(f"{dashboard}/api/studies/{study['study_id']}")["trials"]
        assert trial["state"] == "Running"
        assert {param["name"] for param in trial["params"]} == {"margin", "scale", "mixup_alpha", "noise_prob"}
