"""The forecast of a search, as `asd-ray tune --dry-run` prints it."""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from asd_ray.invocation import call_of
from asd_ray.models.precision import has_bfloat16
from asd_ray.scoring.metrics import PROXY
from asd_ray.scoring.protocol import why_unusable
from asd_ray.search.forecast import Forecast, largest_batch
from asd_ray.training.rungs import rungs_of
from asd_ray.training.step import compiles
from asd_ray.training.warmup import MOST_AT_ONCE

_ROLES = {
    "dcase": "the test clips choose, the evaluation clips report",
    "paper": "the same test clips do both: optimistic",
    "mixed": "machine types with labelled evaluation clips as in dcase, the others as in split",
}
_REPORTERS = {
    "dcase": "the evaluation clips report",
    "paper": "the test clips report",
    "mixed": "labelled evaluation clips report, where there are none half of the test clips of each machine id",
}
_SPLIT_REPORTERS = "half of the test clips of each machine id report"
_SPLIT = "half of the test clips of each machine id choose, the others report"


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Print the forecast: clips, classes, studies, space, lanes, time and memory."""
    console.print(_clips_table(forecast))
    for line in _lines(forecast):
        console.print(line, soft_wrap=True)


def _clips_table(forecast: Forecast) -> Table:
    """The number of training, held-out, choosing and reporting clips of each machine id."""
    listed, roles = forecast.listed, forecast.roles
    by_split = Counter(_rows(listed.clips, "machine_type", "machine_id", "split"))
    choosing = Counter(_rows(roles.filter(roles.column("chooses")), "machine_type", "machine_id", "is_anomaly"))
    reporting = Counter(_rows(roles.filter(roles.column("reports")), "machine_type", "machine_id", "is_anomaly"))
    table = Table("machine type", "id", box=box.SIMPLE)
    for heading in ("train", "valid", "choosing", "reporting"):
        table.add_column(heading, justify="right")
    before = ""
    for machine in listed.machines:
        key = (machine.machine_type, machine.machine_id)
        counts = [str(by_split[*key, split]) for split in ("train", "valid")]
        counts += [f"{found[*key, False]} + {found[*key, True]}" for found in (choosing, reporting)]
        if forecast.config.score.objective == PROXY:
            counts[2] = f"{by_split[*key, 'valid']} held out"
        table.add_row("" if machine.machine_type == before else machine.machine_type, machine.machine_id, *counts)
        before = machine.machine_type
    return table


def _rows(table: pa.Table, *columns: str) -> Iterator[tuple[object, ...]]:
    return zip(*(table.column(name).to_pylist() for name in columns), strict=True)


def _lines(forecast: Forecast) -> Iterator[str]:
    listed, config = forecast.listed, forecast.config
    search, train = config.search, config.train
    proxy = config.score.objective == PROXY
    yield "clips     that choose the config and that report how good it is: normal + anomalous"
    if proxy:
        yield "          no label chooses: held-out clips do, as they are and heard as other machine ids"
    yield f"classes   {len(listed.machines)}, one per machine id"
    if listed.to_prepare:
        yield f"prepare   {listed.to_prepare} recordings would be checked and written to shards first"
    if listed.problems:
        yield f"left out  {listed.problems} files; {call_of('prepare')} names them with cause and mend"
    for line in listed.note_lines:
        yield f"noted     {line}"
    roles = _REPORTERS.get(forecast.protocol, _SPLIT_REPORTERS) if proxy else _ROLES.get(forecast.protocol, _SPLIT)
    yield f"protocol  {forecast.protocol}: {roles}"
    yield f"studies   {len(forecast.searched)}: {', '.join(forecast.searched)}"
    for name, reason in forecast.not_searchable.items():
        yield f"          {name} is trained on but not searched: {reason}"
    yield from _not_reportable(forecast)
    systems = forecast.space.systems or (config.model.name,)
    yield f"system    {', '.join(systems)}"
    yield f"space     {forecast.space.question}"
    for name, spec in forecast.space.params.items():
        log = " by ratios" if getattr(spec, "log", False) else ""
        yield f"          {name}: {f'held at {spec:g}' if isinstance(spec, float) else f'{spec}{log}'}"
    for machine_type, specs in forecast.space.machine_types.items():
        yield f"          {machine_type} has ranges of its own: {', '.join(specs)}"
    at = rungs_of(search, train.epochs)
    judged = f", judged after {at[0]}: one in {search.eta} goes on" if at else ""
    yield f"trials    {search.trials} of up to {train.epochs} epochs{judged}; each trains on " + (
        "all machine types" if search.scope == "joint" else "the machine type of its study"
    )
    if search.confirm:
        yield (
            f"confirm   the best {search.confirm} of each machine type and the starting point, "
            f"{search.seeds} seeds each"
        )
    for line in forecast.lines:
        yield f"start     {line}"
    yield from _costs(forecast)


def _not_reportable(forecast: Forecast) -> Iterator[str]:
    """A line for each machine type whose best config nobody could judge afterwards, with the reason."""
    reporting = forecast.roles.filter(forecast.roles.column("reports")).to_pylist()
    for name in forecast.searched:
        labels = [(row["machine_id"], row["is_anomaly"]) for row in reporting if row["machine_type"] == name]
        if reason := why_unusable(labels):
            yield f"          {name} is searched, but its best config cannot be judged: {reason} report"


def _costs(forecast: Forecast) -> Iterator[str]:
    config, share, pace = forecast.config, forecast.share, forecast.pace
    yield f"lanes     {share}; {forecast.room.words}"
    yield from _pace(forecast)
    device = torch.device("cuda" if share.lane.gpus else "cpu")
    trained = forecast.listed.clips.column("split").to_pylist().count("train")
    if share.lane.workers == 1 and compiles(config, clips=trained, device=device):
        yield "          compiled steps, which this search would use, are faster than that"
    if config.train.precision == "bfloat16" and not has_bfloat16(device):
        yield "          this processor has no instructions for bfloat16: train.precision=float32 is much faster"
    if forecast.room.streams:
        yield "          reading the clips in every epoch takes further time"
    yield f"time      about {duration(forecast.likely_s)}; {duration(forecast.most_s)} if no trial were pruned"
    free = f"{forecast.free_bytes / 1e9:.1f} GB are free"
    yield (
        f"memory    {forecast.host_bytes / 1e9:.1f} GB: {forecast.room.store_bytes / 1e9:.1f} GB for clips, "
        f"{pace.host_bytes / 1e9:.1f} GB for each lane's worker; {free}"
    )
    if share.lane.gpus:
        yield f"          {pace.gpu_bytes / 1e9:.1f} GB of a GPU's memory for each worker, without resident clips"
    if forecast.host_bytes > forecast.free_bytes:
        yield (
            "          that is too much: set fewer --lanes, a smaller train.batch_size (or batch_size in the "
            "space), or lanes.resident=stream"
        )


def _pace(forecast: Forecast) -> Iterator[str]:
    config, share, pace = forecast.config, forecast.share, forecast.pace
    yield (
        f"pace      {1000 * pace.train_s:.3g} ms to train on a clip, {1000 * pace.read_s:.3g} ms to read one, "
        f"measured just now on noise, {min(share.count * share.lane.workers, MOST_AT_ONCE)} workers side by side"
    )
    if len(forecast.space.systems) > 1:
        yield "          the mean of all systems, a few steps of each; memory is that of one after the other"
    largest = largest_batch(forecast.space, config)
    if largest != config.train.batch_size:
        yield f"          in batches of {largest} clips, the largest that a trial may have"


def duration(seconds: float) -> str:
    """A time in words, with two figures at most.

    >>> duration(42), duration(130), duration(4000), duration(400_000)
    ('42 s', '2 min', '1.1 hours', '4.6 days')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.1f} days"
