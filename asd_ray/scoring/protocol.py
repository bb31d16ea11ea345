"""Which labelled clips choose the config, and which report how good it is.

`dcase`: the development test set chooses, the evaluation set reports (other machine ids).
`split`: half of the test clips of each machine id and label choose, the other half report.
`paper`: the same test clips do both, as publications have it; such numbers are optimistic.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from asd_ray.errors import InputError

Protocol = Literal["dcase", "split", "paper"]
PROTOCOLS: tuple[Protocol, ...] = ("dcase", "split", "paper")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """One bool per clip, in the order given. A clip without a label has no role.

    A machine type is searchable if some machine id has a normal and an anomalous clip that choose, and
    reportable likewise; the others are listed with the reason.
    """

    protocol: Protocol
    choosing: Mask
    reporting: Mask
    not_searchable: dict[str, str]
    not_reportable: dict[str, str]


def resolve_protocol(name: str, labelled_splits: Collection[str]) -> Protocol:
    """The protocol that a name (`auto` or one of PROTOCOLS) means, given the splits that have labelled clips.

    `auto` is `dcase` where labelled evaluation clips exist, else `split`, for the corpus as a whole: where only
    some machine types have an evaluation set, the others are searched on their test clips and not reported.
    Raises InputError for an unknown name, and for `dcase` without labelled evaluation clips.

    >>> resolve_protocol("auto", {"test"}), resolve_protocol("auto", {"test", "eval"})
    ('split', 'dcase')
    """
    if name == "auto":
        return "dcase" if "eval" in labelled_splits else "split"
    if name == "dcase" and "eval" not in labelled_splits:
        raise InputError(
            "protocol dcase: the corpus has no labelled evaluation clips; "
            "add <machine_type>/eval/ with eval_data_list.csv, or use protocol split"
        )
    for protocol in PROTOCOLS:
        if name == protocol:
            return protocol
    raise InputError(f"protocol {name!r} is unknown; use auto, {', '.join(PROTOCOLS)}")


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
    resolve_protocol(protocol, set(splits[labelled].tolist()))
    if protocol == "dcase":
        choosing, reporting = test, evaluation
    elif protocol == "paper":
        choosing, reporting = test, test.copy()
    else:
        groups = list(zip(machine_type, machine_id, is_anomaly, strict=True))
        choosing = _every_other(clip_id, test, groups=groups)
        reporting = test & ~choosing
    return Roles(
        protocol=protocol,
        choosing=choosing,
        reporting=reporting,
        not_searchable=_unusable(choosing, machine_type, machine_id=machine_id, is_anomaly=is_anomaly),
        not_reportable=_unusable(reporting, machine_type, machine_id=machine_id, is_anomaly=is_anomaly),
    )


def _every_other(clip_id: Sequence[str], among: Mask, *, groups: Sequence[tuple[str, str, bool | None]]) -> Mask:
    """Within each group, in the order of a hash that knows nothing of the recording, the 1st, 3rd, 5th...

    An odd one out thus chooses: with a single anomaly, a search without a report beats a report without a
    search.
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
