"""Which labelled clips choose the config, and which report how good it is.

`dcase`: the development test set chooses, the evaluation set reports (other machine ids).
`split`: half of the test clips of each machine id and label choose, the other half report.
`paper`: the same test clips do both, as in publications; such figures are optimistic.
`mixed`: `dcase` for machine types with labelled evaluation clips, `split` for the others; only `auto` selects it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from asd_ray.errors import InputError

Protocol = Literal["dcase", "split", "paper", "mixed"]
PROTOCOLS: tuple[Protocol, ...] = ("dcase", "split", "paper")  # those that a user can select

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """One bool per clip, in the order given. A clip without a label has no role.

    A machine type is searchable if some machine id has both a normal and an anomalous clip that choose, and
    reportable if some id has both that report; other machine types are listed with the reason.
    """

    protocol: Protocol
    choosing: Mask
    reporting: Mask
    not_searchable: dict[str, str]
    not_reportable: dict[str, str]


def resolve_protocol(name: str, labelled_splits: Mapping[str, Collection[str]]) -> Protocol:
    """The protocol that a name (`auto` or one of PROTOCOLS) means, given each machine type's labelled splits.

    `auto` is `dcase` for the machine types that have labelled evaluation clips, and `split` for the others.
    Raises InputError for an unknown name, and for `dcase` without labelled evaluation clips.

    >>> resolve_protocol("auto", {"fan": {"test"}}), resolve_protocol("auto", {"fan": {"test", "eval"}})
    ('split', 'dcase')
    >>> resolve_protocol("auto", {"fan": {"test"}, "pump": {"test", "eval"}})
    'mixed'
    """
    evaluated = {"eval" in splits for splits in labelled_splits.values() if splits}
    if name == "auto":
        return "mixed" if len(evaluated) == 2 else "dcase" if evaluated == {True} else "split"
    if name == "dcase" and True not in evaluated:
        raise InputError(
            "protocol dcase: the corpus has no labelled evaluation clips; "
            "add <machine_type>/eval/ with eval_data_list.csv, or use protocol split"
        )
    for protocol in PROTOCOLS:
        if name == protocol:
            return protocol
    raise InputError(f"protocol {name!r} is unknown; use auto, {', '.join(PROTOCOLS)}")


def labelled_splits(
    machine_type: Sequence[str], split: Sequence[str], is_anomaly: Sequence[bool | None]
) -> dict[str, set[str]]:
    """For each machine type, the splits in which it has labelled clips; clips are given column by column."""
    found: dict[str, set[str]] = {name: set() for name in dict.fromkeys(machine_type)}
    for name, where, label in zip(machine_type, split, is_anomaly, strict=True):
        if label is not None:
            found[name].add(where)
    return found


def assign_roles(
    protocol: Protocol,
    clip_id: Sequence[str],
    *,
    split: Sequence[str],
    machine_type: Sequence[str],
    machine_id: Sequence[str],
    is_anomaly: Sequence[bool | None],
) -> Roles:
    """Roles of the clips, given column by column. They depend on the clips, not on their order.

    Raises InputError for `dcase` without labelled evaluation clips.
    """
    assert len(clip_id) == len(split) == len(machine_type) == len(machine_id) == len(is_anomaly)
    labelled = np.array([label is not None for label in is_anomaly], dtype=bool)
    splits = np.asarray(split, dtype=str)
    test, evaluation = labelled & (splits == "test"), labelled & (splits == "eval")
    splits_of = labelled_splits(machine_type, split, is_anomaly)
    if protocol == "dcase":
        resolve_protocol(protocol, splits_of)
        choosing, reporting = test, evaluation
    elif protocol == "paper":
        choosing, reporting = test, test.copy()
    else:
        groups = list(zip(machine_type, machine_id, is_anomaly, strict=True))
        choosing = _every_other(clip_id, test, groups=groups)
        reporting = test & ~choosing
        if protocol == "mixed":
            evaluated = np.array(["eval" in splits_of[name] for name in machine_type], dtype=bool)
            choosing = np.where(evaluated, test, choosing)
            reporting = np.where(evaluated, evaluation, reporting)
    not_searchable = _unusable(choosing, machine_type, machine_id=machine_id, is_anomaly=is_anomaly)
    for name in not_searchable:
        if splits_of[name] == {"eval"}:
            not_searchable[name] = "its labelled clips are all in eval/, and choose nothing: put some into test/"
    return Roles(
        protocol=protocol,
        choosing=choosing,
        reporting=reporting,
        not_searchable=not_searchable,
        not_reportable=_unusable(reporting, machine_type, machine_id=machine_id, is_anomaly=is_anomaly),
    )


def _every_other(clip_id: Sequence[str], among: Mask, *, groups: Sequence[tuple[str, str, bool | None]]) -> Mask:
    """The 1st, 3rd, 5th... of each group, in the order of a hash that knows nothing about the recordings.

    So where the number is odd, the extra clip chooses: with a single anomaly, a search without a report is better
    than a report without a search.
    """
    members: dict[tuple[str, str, bool | None], list[int]] = defaultdict(list)
    for position in np.flatnonzero(among).tolist():
        members[groups[position]].append(position)
    mask = np.zeros(len(clip_id), dtype=bool)
    for positions in members.values():
        positions.sort(key=lambda position: hashlib.sha256(clip_id[position].encode()).digest())
        mask[positions[::2]] = True
    return mask


def _unusable(
    mask: Mask,
    machine_type: Sequence[str],
    *,
    machine_id: Sequence[str],
    is_anomaly: Sequence[bool | None],
) -> dict[str, str]:
    """The machine types for which no metric per machine id is defined on the masked clips, and why."""
    pairs: dict[str, list[tuple[str, bool | None]]] = {name: [] for name in dict.fromkeys(machine_type)}
    for position in np.flatnonzero(mask).tolist():
        pairs[machine_type[position]].append((machine_id[position], is_anomaly[position]))
    return {name: reason for name, found in pairs.items() if (reason := why_unusable(found))}


def why_unusable(clips: Iterable[tuple[str, bool | None]]) -> str:
    """Why no metric per machine id is defined on clips of one machine type, given machine id and label; else "".

    >>> why_unusable([("id_00", False), ("id_00", True)]), why_unusable([("id_00", False)])
    ('', 'no anomalous clips')
    """
    kinds: dict[str, set[bool | None]] = defaultdict(set)
    for machine_id, is_anomaly in clips:
        kinds[machine_id].add(is_anomaly)
    if any(len(found) == 2 for found in kinds.values()):
        return ""
    present = set().union(*kinds.values())
    if not present:
        return "no labelled clips"
    if len(present) == 1:
        return "no normal clips" if True in present else "no anomalous clips"
    return "no machine id with both normal and anomalous clips"
