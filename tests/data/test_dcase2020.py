"""The archives of DCASE 2020 Task 2 become a corpus, and nothing else."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_ray.data import dcase2020
from asd_ray.data.corpus import read_corpus
from asd_ray.data.zenodo import DownloadError, Zenodo
from asd_ray.errors import InputError
from tests.zenodo import Server, put_dcase2020, recording, serving, zipped

DEV, ADDITIONAL, EVALUATION = (part.record for part in dcase2020.PARTS)
WAV = recording(0)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        put_dcase2020(server, dcase2020.MACHINE_TYPES)
        yield server


def download(server: Server, root: Path, *machine_types: str, **options: bool) -> list[str]:
    """What was told; the archives of `machine_types` alone, if given."""
    zenodo, told = Zenodo(server.api, pause=0), list[str]()
    archives = dcase2020.find_archives(zenodo, machine_types=machine_types or dcase2020.MACHINE_TYPES)
    dcase2020.download(zenodo, archives, root, on_progress=lambda *_: None, on_event=told.append, **options)
    return told


def fetched(server: Server) -> list[str]:
    return [name for name, _ in server.asked if name != "listing"]


def test_the_archives_become_a_corpus_with_a_labelled_evaluation_set(server: Server, tmp_path: Path) -> None:
    told = download(server, tmp_path)
    assert told[0] == "dev_data_fan.zip: 4 recordings of fan"
    assert len(told) == 19
    corpus = read_corpus(tmp_path)
    assert corpus.problems == ()
    assert Counter((clip.machine_id, clip.split, clip.is_anomaly) for clip in corpus.clips) == {
        ("id_00", "train", False): 12,
        ("id_00", "test", False): 6,
        ("id_00", "test", True): 6,
        ("id_01", "train", False): 12,
        ("id_01", "eval", False): 6,
        ("id_01", "eval", True): 6,
    }
    assert {clip.machine_type for clip in corpus.clips} == set(dcase2020.MACHINE_TYPES)
    assert (tmp_path / "fan/eval/id_01_00000000.wav").read_bytes() == recording(1)
    assert [path.name for path in (tmp_path / ".archives").iterdir()] == ["unpacked.json"]


def test_the_same_call_again_fetches_nothing(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path)
    server.asked.clear()
    assert download(server, tmp_path) == []
    assert fetched(server) == []


def test_machine_types_may_come_one_after_another(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path, "fan")
    server.asked.clear()
    download(server, tmp_path, "fan", "valve")
    assert fetched(server) == ["dev_data_valve.zip", "eval_data_train_valve.zip", "eval_data_test_valve.zip"]


def test_an_archive_that_zenodo_has_replaced_is_fetched_again(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path, "fan")
    server.records[DEV]["dev_data_fan.zip"] = zipped({"fan/train/normal_id_00_00000000.wav": recording(99)})
    assert download(server, tmp_path, "fan") == ["dev_data_fan.zip: 1 recordings of fan"]
    assert (tmp_path / "fan/train/normal_id_00_00000000.wav").read_bytes() == recording(99)


def test_archives_are_kept_on_request(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path, "fan", keep_archives=True)
    assert (tmp_path / ".archives/dev_data_fan.zip").read_bytes() == server.records[DEV]["dev_data_fan.zip"]
    assert read_corpus(tmp_path).problems == ()


def test_without_the_evaluation_set_there_is_the_development_set_alone(server: Server) -> None:
    archives = dcase2020.find_archives(Zenodo(server.api), evaluation=False)
    assert {archive.file.record for archive in archives} == {DEV}
    assert len(archives) == 6


def test_a_mistyped_machine_type_gets_the_nearest_one(server: Server) -> None:
    with pytest.raises(InputError, match=r"no machine type 'toycar' in DCASE 2020 Task 2; did you mean 'ToyCar'"):
        dcase2020.find_archives(Zenodo(server.api), machine_types=["fan", "toycar"])


def test_a_record_without_an_archive_is_named(server: Server) -> None:
    del server.records[ADDITIONAL]["eval_data_train_pump.zip"]
    with pytest.raises(
        DownloadError, match=f"record {ADDITIONAL} has no eval_data_train_pump.zip, only eval_data"
    ):
        dcase2020.find_archives(Zenodo(server.api))


def test_a_disk_without_room_is_found_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    server.faults["eval_data_test_valve.zip"].listed_size = 10**15
    with pytest.raises(
        InputError, match=r"19 archives and their recordings need 24\d+\.\d GB, .* are free; free some"
    ):
        download(server, tmp_path)
    assert fetched(server) == []


@pytest.mark.parametrize(
    "inside",
    [
        "../../fan/evil/normal_id_00_00000000.wav",
        "/fan/train/../../normal_id_00_00000000.wav",
        "pump/train/normal_id_00_00000000.wav",
        "fan/eval/normal_id_00_00000000.wav",
        "fan/train/anomaly_id_00_00000000.wav",
        "fan/train/evil.wav",
        "normal_id_00_00000000.wav",
    ],
)
def test_recordings_that_are_not_where_they_belong_are_not_unpacked(
    server: Server, tmp_path: Path, inside: str
) -> None:
    server.records[DEV]["dev_data_fan.zip"] = zipped({inside: WAV})
    root = tmp_path / "deep" / "root"
    with pytest.raises(DownloadError, match=r"dev_data_fan.zip: .* is not expected in it"):
        download(server, root, "fan")
    assert list(tmp_path.rglob("*.wav")) == []


def test_where_a_recording_goes_is_made_of_its_checked_parts(server: Server, tmp_path: Path) -> None:
    server.records[DEV]["dev_data_fan.zip"] = zipped({"../../fan/train/normal_id_00_00000000.wav": WAV})
    root = tmp_path / "deep" / "root"
    download(server, root, "fan")
    assert (root / "fan/train/normal_id_00_00000000.wav").read_bytes() == WAV
    assert not (tmp_path / "fan").exists()


def test_an_archive_of_something_else_is_named_and_stays_for_inspection(server: Server, tmp_path: Path) -> None:
    server.records[DEV]["dev_data_fan.zip"] = b"no archive"
    with pytest.raises(DownloadError, match=r"dev_data_fan.zip: cannot be unpacked .*though its MD5"):
        download(server, tmp_path, "fan")
    server.records[DEV]["dev_data_fan.zip"] = zipped({"readme.txt": b""})
    with pytest.raises(DownloadError, match=r"holds no recordings of fan"):
        download(server, tmp_path, "fan")


def test_a_recording_damaged_inside_its_archive_gets_no_name(server: Server, tmp_path: Path) -> None:
    archive = zipped({"fan/train/normal_id_00_00000000.wav": WAV})
    server.records[DEV]["dev_data_fan.zip"] = archive.replace(WAV[1000:1010], bytes(10), 1)
    with pytest.raises(DownloadError, match=r"cannot be unpacked .*CRC"):
        download(server, tmp_path, "fan")
    assert list(tmp_path.rglob("*.wav")) == []


def test_two_downloads_into_one_folder_do_not_meet(server: Server, tmp_path: Path) -> None:
    from asd_ray.files.locks import folder_lock

    with (
        folder_lock(tmp_path, mend=""),
        pytest.raises(InputError, match=r"in use by .*; another download is at work there"),
    ):
        download(server, tmp_path, "fan")
