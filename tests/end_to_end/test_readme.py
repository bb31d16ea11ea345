"""The commands of the README and of docs/ work, in the order in which they stand there.

Blocks of sh are run; what needs a cloud, or Zenodo, stands in blocks of another kind, and is read by the commands'
parsers only (tests/docs/test_commands.py).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.files.strict_yaml import load
from asd_ray.scoring.detector import Best
from tests.end_to_end.conftest import ROOT


def blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_block_runs(small_dataset: Path, tmp_path: Path) -> None:
    """On a corpus like the built-in one, of fewer machine types and clips."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "synthetic").symlink_to(small_dataset)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]  # the README's commands first
    commands = [block for page in pages for block in blocks(page.read_text())]
    assert len(commands) >= 8
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in commands:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}"
    best = load(tmp_path / "runs" / "first" / "full" / "fan" / "fan.yaml", Best)
    assert (best.epochs, best.config.lanes.workers) == (2, 2)  # trained data-parallel


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^    |`)make (\w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
