"""summary.json keeps to its documented schema."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from asd_ray.report.render import rebuild
from asd_ray.report.summary_file import SummaryFile

SCHEMA = Path(__file__).parents[2] / "docs" / "summary.schema.json"


def test_the_schema_in_the_documentation_is_the_one_of_the_code() -> None:
    """When it is not: SummaryFile.model_json_schema() has the new one."""
    assert json.loads(SCHEMA.read_text()) == SummaryFile.model_json_schema()


@pytest.mark.parametrize("name", ["finished_run", "confirmed_run"])
def test_what_a_search_writes_validates(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder = shutil.copytree(request.getfixturevalue(name), tmp_path / "run")
    rebuild(folder)
    found = json.loads((folder / "report" / "summary.json").read_text())
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    validator.check_schema(validator.schema)
    validator.validate(found)
    assert found["format"] == 1
    wrong = {**found, "protocol": "another"}
    assert not validator.is_valid(wrong)
    del found["machine_types"]["fan"]["best"]["choosing"]["mauc"]
    assert not validator.is_valid(found)
