"""TensorBoard event files, one folder per trial: `tensorboard --logdir runs/first/tensorboard`.

This needs no TensorBoard: tensorboardX writes its format. The tracker writes everything in the caller's thread, so
that a full disk raises an exception there, instead of a traceback in another thread.

tensorboardX imports torch and boto3, which takes three seconds of a processor. So the tracker imports it when the
first trial begins: a search makes its tracker before it starts Ray, and a call with nothing to do has no trial.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.files.paths import remove_folder
from asd_ray.search.events import Begun, Ended
from asd_ray.search.runfolder import Run

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.summary_pb2 import Summary

FOLDER = "tensorboard"


class TensorBoard:
    name = "TensorBoard"

    def begin(self, folder: Path, run: Run) -> None:
        self._folder = folder / FOLDER
        self._searched = run.machine_types
        self._open: dict[str, EventsWriter] = {}

    def begin_trial(self, trial: Begun) -> int:
        """Begin the trial's folder anew: a trial that goes on reports all its epochs again."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.summary import hparams

        folder = self._folder / trial.name
        remove_folder(folder)
        folder.mkdir(parents=True)
        writer = self._open[trial.name] = EventsWriter(str(folder / "events"))
        params: dict[str, bool | str | float | int] = {**trial.differs_in}
        objectives = dict.fromkeys((f"objective/{name}" for name in self._searched), 0.0)
        for summary in hparams(params, objectives):
            _write(writer, summary)
        return 0

    def epoch(self, name: str, epoch: int, values: Mapping[str, float]) -> None:
        from tensorboardX.summary import scalar

        for tag, value in values.items():
            _write(self._open[name], scalar(tag, value), step=epoch)
        self._open[name].flush()  # an epoch takes seconds, and somebody may be watching

    def end_trial(self, trial: Ended) -> None:
        self._open.pop(trial.name).close()

    def end(self) -> None:
        for writer in self._open.values():
            writer.close()
        self._open.clear()


def _write(writer: "EventsWriter", summary: "Summary", *, step: int = 0) -> None:
    from tensorboardX.proto.event_pb2 import Event

    writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
