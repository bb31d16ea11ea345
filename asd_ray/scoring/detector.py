"""A detector that a search found: `best/<machine_type>.yaml` and its weights score new recordings. Without Ray.

Axes: L samples.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from asd_ray.clip import find_machine_id
from asd_ray.config import Params, PlainName, RunConfig
from asd_ray.data.audio import SILENT, BadRecording, read_recording
from asd_ray.data.resident import PCM_SCALE
from asd_ray.errors import InputError, path_suggestion
from asd_ray.files.paths import place
from asd_ray.files.strict_yaml import Strict, load
from asd_ray.losses.mixing import LossPoint
from asd_ray.models import build_module, find_system
from asd_ray.models.precision import precision_of
from asd_ray.models.sgram import LogMel
from asd_ray.scoring.scores import make_score, outputs_of

NORMALS = ("normals.embedding_NE", "normals.class_N")  # stored with the weights: what a score is fitted to


class ThresholdEntry(Strict):
    """The score from which a clip counts as an anomaly, and where it comes from."""

    value: float
    quantile: float
    method: str
    clips: int
    fitted_to: str


class ConfirmedEntry(Strict):
    """What training with fresh seeds said: the objective's mean and standard deviation over them."""

    seeds: list[int]
    choosing: dict[str, Any]
    reporting: dict[str, Any] | None = Field(description="with its 95 % interval; none where it is undefined")
    difference: dict[str, Any] | None = Field(description="to the starting configuration, reporting clips, paired")
    verdict: str


class Best(Strict):
    """best/<machine_type>.yaml: what was found for a machine type, and how."""

    machine_type: PlainName
    trial: PlainName
    seed: int = Field(description="of the network handed over; of several, the best on the choosing clips")
    epochs: int
    protocol: str
    objective: str
    choosing: dict[str, Any] = Field(description="metrics on the clips that chose it")
    reporting: dict[str, Any] = Field(description="metrics on clips whose labels the search did not see")
    confirmed: ConfirmedEntry | None = Field(default=None, description="none: one seed, not confirmed")
    params: Params
    threshold: ThresholdEntry
    model: str = Field(description="the weights, relative to this file")
    model_sha256: str
    classes: list[list[PlainName]]
    data: str
    fingerprint: str
    notes: dict[str, int] = Field(
        default={}, description="what is odd about recordings of its machine type that it rests on, and how many"
    )
    config: RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The score of a recording, which is an anomaly if the score exceeds the threshold."""

    path: Path
    machine_id: str
    score: float
    threshold: float
    notes: tuple[str, ...] = ()  # what is odd about the recording

    @property
    def is_anomaly(self) -> bool:
        return self.score > self.threshold


class Detector:
    """Scores recordings of one machine type. Raises InputError for files that are missing or damaged."""

    def __init__(self, path: Path) -> None:
        self.best = load(path, Best)
        weights = (path.parent / self.best.model).resolve()
        if not weights.is_file():
            raise InputError(f"{weights}: missing; it holds the weights of {path}")
        if sha256_of(weights) != self.best.model_sha256:
            raise InputError(f"{weights}: not the weights that {path} was written with; rebuild the report")
        config = self.best.config
        self._system, self._loss = find_system(config.model.name), LossPoint(**config.loss.model_dump())
        self._to_sgram = LogMel(self._system.mel)
        self._module = build_module(
            config.model.name, width=config.model.width, class_types=[name for name, _ in self.best.classes]
        )
        try:
            tensors = load_tensors(weights.read_bytes())
            normals = {name: tensors.pop(name) for name in NORMALS if name in tensors}
            self._module.load_state_dict(tensors)
        except (SafetensorError, RuntimeError) as error:
            raise InputError(f"{weights}: {str(error).splitlines()[0]}") from error
        self._module.eval()
        self._score = make_score(self._system.score or config.score.name)
        if self._score.fitted:
            self._fit(normals, weights)

    def _fit(self, normals: dict[str, torch.Tensor], weights: Path) -> None:
        """Fit the score to the same embeddings as in the search: those of its machine type's normal clips."""
        if normals.keys() != set(NORMALS):
            raise InputError(
                f"{weights}: has no normal clips for score {self.best.config.score.name}; search again"
            )
        embedding_NE, class_N = (normals[name].numpy() for name in NORMALS)
        types = np.array([name for name, _ in self.best.classes])
        mine_N = types[class_N] == self.best.machine_type
        self._score.fit(embedding_NE[mine_N], class_N[mine_N])

    @property
    def machine_ids(self) -> list[str]:
        """The machine ids of its machine type that it was trained on."""
        return [machine_id for name, machine_id in self.best.classes if name == self.best.machine_type]

    def score(self, path: Path, *, machine_id: str | None = None, resample: bool = False) -> Scored:
        """Score a recording; unless `machine_id` is given, it comes from the file's name (`id_02`).

        Raises InputError for a recording that cannot be scored, and for silence, which holds no machine.
        """
        machine_id = self._known(machine_id or self._machine_id(path), path)
        recording = read_recording(path, resample=resample)
        if SILENT in recording.notes:
            raise BadRecording(path, "is silent: all of its samples are the same", "see to the microphone")
        class_index = self.best.classes.index([self.best.machine_type, machine_id])
        return Scored(
            path=path,
            machine_id=machine_id,
            score=self._score_pcm(recording.pcm, class_index),
            threshold=self.best.threshold.value,
            notes=recording.notes,
        )

    def _machine_id(self, path: Path) -> str:
        known = ", ".join(self.machine_ids)
        if not path.exists():
            raise InputError(f"{path}: no such file{path_suggestion(path) or '; check the path'}")
        try:
            found = find_machine_id(path.stem)
        except ValueError as error:
            raise InputError(f"{path}: {error}; give --machine-id, one of {known}") from None
        if found is None:
            raise InputError(f"{path}: no machine id (id_XX) in its name; give --machine-id, one of {known}")
        return found

    def _known(self, machine_id: str, path: Path) -> str:
        if machine_id not in self.machine_ids:
            known = ", ".join(self.machine_ids)
            raise InputError(f"{path}: {machine_id} is no {self.best.machine_type} it was trained on ({known})")
        return machine_id

    def _score_pcm(self, pcm_L: npt.NDArray[np.int16], class_index: int) -> float:
        wave_L = torch.from_numpy(pcm_L.astype(np.float32) * np.float32(PCM_SCALE))
        class_B = torch.tensor([class_index])
        with torch.inference_mode():
            # float16, because training keeps log-mels in float16
            sgram_FT = self._to_sgram(wave_L).half().float()
            with precision_of(self.best.config.train, wave_L.device):
                embedding_BE, readout_BK = self._module(wave_L[None], sgram_FT[None], class_B)
            outputs = outputs_of(
                self._system.loss,
                self._loss,
                embedding_BE=embedding_BE.float(),
                readout_BK=readout_BK,
                class_B=class_B,
            )
        return float(self._score.score(outputs)[0])


def score(
    detector: "Detector | Path | str",
    recordings: Iterable[Path | str] | Path | str,
    *,
    machine_id: str | None = None,
    resample: bool = False,
    on_refused: Callable[[InputError], None] | None = None,
) -> list[Scored]:
    """Score recordings, or one, with a detector, or with the one that a `best/<machine_type>.yaml` describes.

    The machine id is read from each file's name (`id_02`) unless it is given. Higher is more anomalous, and the
    published score is a cross entropy in nats; a recording whose score exceeds the detector's threshold counts as
    an anomaly.
    `resample` accepts other sample rates than 16 kHz. Raises InputError for a detector that is not whole, and for
    a recording that cannot be scored; with `on_refused`, that is told of such recordings, and they are left out.
    """
    found = detector if isinstance(detector, Detector) else Detector(place(detector))
    scored = []
    for recording in [recordings] if isinstance(recordings, str | Path) else recordings:
        try:
            scored.append(found.score(Path(recording), machine_id=machine_id, resample=resample))
        except InputError as error:
            if on_refused is None:
                raise
            on_refused(error)
    return scored


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
