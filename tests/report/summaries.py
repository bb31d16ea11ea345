"""What a run folder says, read as the report reads it."""

from pathlib import Path

from asd_ray.report.reading import summarise
from asd_ray.report.summary import Summary
from asd_ray.search.runfolder import read_run
from asd_ray.search.studies.storage import open_studies


def read_summary(folder: Path) -> Summary:
    run, clips = read_run(folder)
    studies, _ = open_studies(folder, run, take_over=False)
    return summarise(folder, run, clips=clips, studies=studies)
