"""Several systems searched at once: what the report sets side by side."""

import json
import re
from pathlib import Path

from asd_ray.report.render import rebuild
from tests.fabricated import fabricate, few


def test_every_system_has_its_row_and_a_dash_where_no_trial_was_trained_to_the_end(tmp_path: Path) -> None:
    run = fabricate(tmp_path / "run", few(4, 4), settings=["search.trials=20"], space_name="systems")
    rebuild(tmp_path / "run")
    report = tmp_path / "run" / "report"
    types = json.loads((report / "summary.json").read_text())["machine_types"]
    text = (report / "report.md").read_text()
    page = (report / "index.html").read_text()
    dashes, bold = 0, []
    for system in run.space.systems:
        (row,) = re.findall(rf"^\| {system} \|(.*)\|$", text, flags=re.MULTILINE)
        for name, cell in zip(run.machine_types, row.split("|"), strict=True):
            found = types[name]["systems"].get(system)
            assert (cell.strip() == "–") == (found is None)
            assert found is None or f"({100 * found['choosing']['objective']:.1f})" in cell
            assert found is None or f"<span>{found['trial']}</span>" in page
            dashes += found is None
            bold += [name] if "**" in cell else []
    assert 0 < dashes < len(run.space.systems) * len(run.machine_types)
    assert sorted(bold) == sorted(types)  # each machine type has one that is best
