"""What one machine writes and the others look for."""

from dataclasses import replace
from pathlib import Path

import pytest

from asd_ray.cluster.shared_disk import shown
from asd_ray.errors import InputError
from asd_ray.files.paths import sizes


def test_who_sees_the_files_passes_and_nothing_is_left(tmp_path: Path) -> None:
    data = tmp_path / "shards" / "manifest.json"
    data.parent.mkdir()
    data.write_text("{}")
    with shown(tmp_path / "run", data) as sight:
        sight.check()
    assert list((tmp_path / "run").iterdir()) == []


def test_another_disk_of_the_same_name_is_found_and_the_mend_said(tmp_path: Path) -> None:
    data = tmp_path / "manifest.json"
    data.write_text("{}")
    with shown(tmp_path / "run", data) as sight:
        elsewhere = replace(sight, probe=tmp_path / "elsewhere" / sight.probe.name)
        with pytest.raises(InputError, match=r"^--run .*/elsewhere: not seen from .* \(No such file.*s3://"):
            elsewhere.check()
        with pytest.raises(InputError, match=r"^--data .*: not seen from "):
            replace(sight, data=tmp_path / "no" / "manifest.json").check()
        sight.probe.write_text("of another search")
        with pytest.raises(InputError, match="--run"):
            sight.check()


def test_objects_are_looked_for_in_the_same_way(bucket: Path) -> None:
    (bucket / "manifest.json").write_bytes(b"{}")
    with shown(bucket / "run", bucket / "manifest.json") as sight:
        sight.check()
        with pytest.raises(InputError, match=r"s3://.*not seen from .*AWS_ENDPOINT_URL"):
            replace(sight, probe=bucket / "other" / "probe").check()
    assert sizes(bucket / "run", []) == {}
