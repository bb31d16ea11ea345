"""Angles between embeddings and the centres of their machine ids."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asd_ray.report.reading import angles_of
from asd_ray.report.render import rebuild
from asd_ray.search.runfolder import TRIALS
from tests.report.summaries import read_summary


def test_angles_are_those_whose_cosine_the_training_kept(finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    best = read_summary(folder).machines[0].best
    assert best is not None
    path = folder / TRIALS / best.place / "scores.parquet"
    table = pq.read_table(path)
    if "centre" in table.column_names:
        table = table.drop_columns(["centre"])
    pq.write_table(table, path, write_page_checksum=True)
    assert angles_of(path, best) == ()
    anomalous = {row[0] for row in best.reported if row[2]}
    distance = [1.5 if name in anomalous else 0.0 for name in table.column("clip_id").to_pylist()]
    pq.write_table(table.append_column("centre", pa.array(distance)), path, write_page_checksum=True)
    assert angles_of(path, best) == pytest.approx([120.0 if row[2] else 0.0 for row in best.reported])
    rebuild(folder)
    assert "angle to the centre, degrees" in (folder / "report" / "index.html").read_text()
    path.unlink()
    assert angles_of(path, best) == ()
