"""Names that somebody has written into the files of a run folder lead nowhere but to one clear error."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from asd_ray.commands.score import cell
from asd_ray.data.manifest import Manifest
from asd_ray.errors import InputError, printable
from asd_ray.files.strict_yaml import load
from asd_ray.report.render import rebuild_alone
from asd_ray.scoring.detector import Best
from asd_ray.search.confirmation import read_confirmation
from asd_ray.search.runfolder import read_run

OLD = Path(__file__).parents[1] / "golden" / "run_of_2026_11"
HOSTILE = [
    "../../../pwned/x",
    "..",
    ".",
    "",
    "/etc/passwd",
    "fan/../../x",
    "fan\\x",
    "~root",
    "$HOME",
    "`id`",
    "fan;id",
    "fan|cell",
    "<script>alert(1)</script>",
    "[a](http://b)",
    "=HYPERLINK(1)",
    "-rf",
    "fan\nfan",
    "fan\x1b[2J",
    "fan\x00",
    "fan%2e%2e",
    "fän",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(OLD, tmp_path / "a" / "b" / "run")


def rename(path: Path, name: str, *, of: str = "fan") -> None:
    """Put a name into the place of another one, wherever it stands in a YAML file."""

    def renamed(value: object) -> object:
        if isinstance(value, dict):
            return {renamed(key): renamed(one) for key, one in value.items()}
        if isinstance(value, list):
            return [renamed(one) for one in value]
        return name if value == of else value

    path.write_text(yaml.safe_dump(renamed(yaml.safe_load(path.read_text()))))


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_run_leads_out_of_its_folder(name: str, folder: Path, tmp_path: Path) -> None:
    rename(folder / "run.yaml", name)
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    with pytest.raises(InputError, match=r"run\.yaml"):
        rebuild_alone(folder)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)} == before


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_confirmation_a_detector_or_a_trial_is_taken(name: str, folder: Path) -> None:
    run, _ = read_run(folder)
    rename(folder / "confirmation.yaml", name, of="fan-0")
    with pytest.raises(InputError, match=r"confirmation\.yaml"):
        read_confirmation(folder, run)
    rename(folder / "best" / "fan.yaml", name)
    with pytest.raises(InputError, match=r"fan\.yaml"):
        load(folder / "best" / "fan.yaml", Best)
    shutil.copy(OLD / "confirmation.yaml", folder / "confirmation.yaml")
    journal = folder / "studies.journal"
    assert '"copy_of":"fan-0"' in journal.read_text()
    journal.write_text(journal.read_text().replace('"copy_of":"fan-0"', f'"copy_of":{json.dumps(name)}'))
    with pytest.raises(InputError):
        rebuild_alone(folder)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_manifest_is_taken(name: str, small_shards: Path) -> None:
    document = json.loads((small_shards / "manifest.json").read_text())
    document["classes"][0][0] = name
    with pytest.raises(InputError, match="classes"):
        Manifest.parse(json.dumps(document), where="manifest.json")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_shown_moves_no_cursor_and_is_no_formula(name: str) -> None:
    assert all(one.isprintable() or one in "\n\t" for one in printable(name))
    assert not cell(name).startswith(("=", "+", "-", "@"))
