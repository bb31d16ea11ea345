"""Published results on DCASE 2020 Task 2, to compare with a search on that corpus.

Figures are AUC and pAUC (false-positive rate up to 0.1) in per cent on the test clips of the development set, as
printed in the table of the Noisy-ArcMix poster (Choi and Choi, KAIST) and in the README of its repository as of
August 2023. We compute averages anew from the six machine types; where a source prints another one, a footnote
says so. For two systems, the code shows how ids were combined:

- STgram-MFN (liuyoude/STgram-MFN, trainer.py) averages over machine ids, and keeps the epoch that is best on the
  same labels;
- Noisy-ArcMix (arcmix, eval.py) pools the clips of all ids. The printed figures agree: if the smallest of four ids
  has 92.67 (the mAUC reported for fan), their mean cannot exceed 98.17, but 98.32 is printed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pyarrow as pa

from asd_ray.scoring.metrics import Auc, MachineMetrics

TYPES = ("fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor")  # in the order of the sources
# Normal and anomalous test clips of the development set, per machine id.
TEST_CLIPS: dict[str, dict[str, tuple[int, int]]] = {
    "fan": {"id_00": (100, 407), "id_02": (100, 359), "id_04": (100, 348), "id_06": (100, 361)},
    "pump": {"id_00": (100, 143), "id_02": (100, 111), "id_04": (100, 100), "id_06": (100, 102)},
    "slider": {"id_00": (100, 356), "id_02": (100, 267), "id_04": (100, 178), "id_06": (100, 89)},
    "ToyCar": {"id_01": (350, 264), "id_02": (350, 265), "id_03": (350, 265), "id_04": (350, 265)},
    "ToyConveyor": {"id_01": (800, 400), "id_02": (800, 355), "id_03": (799, 355)},
    "valve": {"id_00": (100, 119), "id_02": (100, 120), "id_04": (100, 120), "id_06": (100, 120)},
}
QUARANTINED = 0.02  # of an id's clips may be missing from what is still this corpus
ROUNDING = 0.011  # averages are printed with two digits

AVERAGED, POOLED, UNKNOWN = "mean over machine ids, as DCASE ranks", "all ids pooled", "not said which"
PROTOCOLS = (AVERAGED, POOLED, UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A published system: per machine type in the order of TYPES, and the averages that its source prints."""

    name: str
    source: str
    protocol: str
    auc: tuple[float, ...]
    pauc: tuple[float, ...]
    printed: tuple[float, float]
    note: str = ""

    @property
    def average(self) -> tuple[float, float]:
        return fmean(self.auc), fmean(self.pauc)

    @property
    def slips(self) -> tuple[str, ...]:
        """Averages that the source prints but that do not follow from its own figures."""
        return tuple(
            f"{self.source} prints {printed:.2f} as average {name}; its six figures give {right:.2f}"
            for name, printed, right in zip(("AUC", "pAUC"), self.printed, self.average, strict=True)
            if abs(printed - right) > ROUNDING
        )


POSTER, README = "the poster", "the README"
STGRAM_CODE = "its code keeps the epoch that is best on these labels: optimistic"
ARCMIX_CODE = "its code chooses the epoch by the validation loss, without labels"
SYSTEMS = (
    System(
        name="STgram (ArcFace)",
        source=POSTER,
        protocol=AVERAGED,
        auc=(94.04, 91.94, 99.55, 99.64, 94.44, 74.57),
        pauc=(88.97, 81.75, 97.61, 98.44, 87.68, 63.60),
        printed=(92.36, 86.34),
        note=STGRAM_CODE,
    ),
    System(
        name="TASTgram (Noisy-ArcMix)",
        source=POSTER,
        protocol=POOLED,
        auc=(98.32, 95.44, 99.53, 99.95, 96.76, 77.90),
        pauc=(95.34, 85.99, 97.50, 99.74, 90.11, 67.15),
        printed=(94.65, 89.31),
        note=ARCMIX_CODE,
    ),
    System(
        name="STSASgram (Noisy-ArcMix)",
        source=README,
        protocol=POOLED,
        auc=(97.08, 94.71, 99.45, 99.93, 96.37, 80.16),
        pauc=(94.13, 86.67, 97.12, 99.66, 89.72, 66.71),
        printed=(94.74, 89.00),
        note=ARCMIX_CODE,
    ),
    System(
        name="IDNN",
        source=POSTER,
        protocol=UNKNOWN,
        auc=(67.71, 73.76, 86.45, 84.09, 78.69, 71.07),
        pauc=(52.90, 61.07, 67.58, 64.94, 69.22, 59.70),
        printed=(76.96, 62.57),
    ),
    System(
        name="MobileNetV2",
        source=POSTER,
        protocol=UNKNOWN,
        auc=(80.19, 82.53, 95.27, 88.65, 87.66, 69.71),
        pauc=(74.40, 76.50, 85.22, 87.98, 85.92, 56.43),
        printed=(84.34, 77.74),
    ),
    System(
        name="Glow-Aff",
        source=POSTER,
        protocol=UNKNOWN,
        auc=(74.90, 83.40, 94.60, 91.40, 92.20, 71.50),
        pauc=(65.30, 73.80, 82.80, 75.00, 84.10, 59.00),
        printed=(85.20, 73.90),
    ),
    System(
        name="CLP-SCF",
        source=POSTER,
        protocol=UNKNOWN,
        auc=(96.98, 94.97, 99.57, 99.89, 95.85, 75.21),
        pauc=(93.23, 87.39, 97.73, 99.51, 90.19, 62.79),
        printed=(93.75, 88.48),
    ),
    System(
        name="TASTgram (ArcFace)",
        source=POSTER,
        protocol=UNKNOWN,
        auc=(95.46, 93.41, 99.78, 99.71, 95.78, 73.16),
        pauc=(89.82, 85.24, 98.81, 98.48, 90.19, 63.17),
        printed=(92.88, 87.62),
    ),
    System(
        name="STgram (Noisy-ArcMix)",
        source=POSTER,
        protocol=UNKNOWN,
        auc=(97.20, 94.89, 99.51, 99.88, 96.55, 77.57),
        pauc=(93.56, 87.07, 97.44, 99.38, 90.41, 64.54),
        printed=(94.27, 88.73),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A system in the comparison: (AUC, pAUC) from 0 to 1 per machine type; None where there is no figure."""

    name: str
    protocol: str
    figures: dict[str, Auc | None]
    notes: tuple[str, ...] = ()
    own: bool = False

    @property
    def average(self) -> Auc | None:
        """The average over the six machine types; None if one is missing."""
        found = [self.figures.get(name) for name in TYPES]
        aucs = [one.auc for one in found if one is not None and one.auc is not None]
        paucs = [one.pauc for one in found if one is not None and one.pauc is not None]
        return Auc(fmean(aucs), fmean(paucs)) if len(aucs) == len(paucs) == len(TYPES) else None


def published_rows() -> tuple[Row, ...]:
    return tuple(
        Row(
            name=system.name,
            protocol=system.protocol,
            figures={
                name: Auc(auc / 100, pauc / 100)
                for name, auc, pauc in zip(TYPES, system.auc, system.pauc, strict=True)
            },
            notes=(*filter(None, [system.note]), *system.slips),
        )
        for system in SYSTEMS
    )


def own_rows(own: Mapping[str, Mapping[str, MachineMetrics | None]]) -> tuple[Row, ...]:
    """Rows for our own systems, given by name with metrics per machine type; ids are combined in both ways."""
    ways = ((AVERAGED, "averaged"), (POOLED, "pooled"))
    return tuple(
        Row(
            name=name,
            protocol=protocol,
            figures={key: None if metrics is None else getattr(metrics, way) for key, metrics in found.items()},
            own=True,
        )
        for name, found in own.items()
        for protocol, way in ways
    )


def by_protocol(rows: Sequence[Row]) -> dict[str, tuple[Row, ...]]:
    """Groups of rows that may be compared with each other; own systems come first."""
    return {
        protocol: tuple(sorted((row for row in rows if row.protocol == protocol), key=lambda row: not row.own))
        for protocol in PROTOCOLS
    }


def is_dcase_2020(clips: pa.Table) -> bool:
    """Whether a run's labelled test clips are those of DCASE 2020 Task 2, for some or all machine types.

    This compares the number of clips of every machine id, of which a few may be missing: names of ids say little.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    columns = (clips.column(name).to_pylist() for name in ("split", "machine_type", "machine_id", "is_anomaly"))
    for split, machine_type, machine_id, is_anomaly in zip(*columns, strict=True):
        if split == "test" and is_anomaly is not None:
            counts.setdefault((machine_type, machine_id), [0, 0])[int(is_anomaly)] += 1
    types = {machine_type for machine_type, _ in counts}
    wanted = {(name, key): number for name in types for key, number in TEST_CLIPS.get(name, {}).items()}
    return bool(counts) and counts.keys() == wanted.keys() and all(
        (1 - QUARANTINED) * whole <= found <= whole
        for machine, numbers in wanted.items()
        for found, whole in zip(counts[machine], numbers, strict=True)
    )  # fmt: skip
