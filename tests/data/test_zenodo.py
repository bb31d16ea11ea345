"""What arrives is whole, or has no name; and nothing is fetched twice that need not be."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from asd_ray.data.zenodo import ATTEMPTS, PIECE, DownloadError, Zenodo
from tests.zenodo import Server, serving

RECORD, NAME = 7, "dev_data_fan.zip"
CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        server.records[RECORD][NAME] = CONTENT
        yield server


def quiet(name: str, done: int, total: int) -> None:
    assert 0 <= done <= total, (name, done, total)


def fetch(server: Server, folder: Path) -> Path:
    zenodo = Zenodo(server.api, pause=0)
    return zenodo.fetch(zenodo.files(RECORD)[NAME], folder, on_progress=quiet)


def asked_for_bytes(server: Server) -> list[int]:
    return [begin for name, begin in server.asked if name == NAME]


def test_a_record_lists_its_files_with_size_and_md5(server: Server) -> None:
    (file,) = Zenodo(server.api).files(RECORD).values()
    assert (file.name, file.size, file.record) == (NAME, 300_000, RECORD)
    assert len(file.md5) == 32


def test_a_file_arrives_whole_and_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path / "new").read_bytes() == CONTENT
    fetch(server, tmp_path / "new")
    assert asked_for_bytes(server) == [0]
    assert [path.name for path in (tmp_path / "new").iterdir()] == [NAME]


def test_after_a_dropped_connection_only_the_rest_is_asked_for(server: Server, tmp_path: Path) -> None:
    server.faults[NAME].drop_after = [6 * PIECE, 3 * PIECE + 1]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert asked_for_bytes(server) == [0, 6 * PIECE, 9 * PIECE]


def test_a_line_that_drops_often_but_brings_bytes_each_time_is_not_given_up(
    server: Server, tmp_path: Path
) -> None:
    server.faults[NAME].drop_after = [PIECE] * (2 * ATTEMPTS)
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_line_that_brings_nothing_is_given_up_and_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.faults[NAME].drop_after = [6 * PIECE] + [0] * (ATTEMPTS - 1)
    with pytest.raises(DownloadError, match=f"{NAME}/content: .*, {ATTEMPTS} times in a row"):
        fetch(server, tmp_path)
    assert not (tmp_path / NAME).exists()
    server.asked.clear()
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert asked_for_bytes(server) == [6 * PIECE]


def test_a_wrong_byte_is_found_and_the_file_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.faults[NAME].wrong_bytes = 1
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert asked_for_bytes(server) == [0, 0]


def test_bytes_that_are_wrong_again_get_no_name(server: Server, tmp_path: Path) -> None:
    server.faults[NAME].wrong_bytes = 2
    with pytest.raises(DownloadError, match=f"{NAME}: its MD5 is [0-9a-f]{{32}}, not [0-9a-f]{{32}} as Zenodo"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_ranges_sends_all_of_it_again(server: Server, tmp_path: Path) -> None:
    server.faults[NAME].drop_after = [100_000]
    server.faults[NAME].knows_ranges = False
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_what_arrived_of_a_longer_file_of_that_name_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / f".{NAME}.arriving").write_bytes(bytes(300_001))
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_range_that_the_server_does_not_have_begins_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / f".{NAME}.arriving").write_bytes(CONTENT[:9])
    server.faults[NAME].statuses = [(416, {})]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert asked_for_bytes(server) == [9, 0]


def test_an_empty_file_is_a_file(server: Server, tmp_path: Path) -> None:
    server.records[RECORD][NAME] = b""
    assert fetch(server, tmp_path).read_bytes() == b""


def test_a_busy_server_is_asked_again_when_it_says(server: Server, tmp_path: Path) -> None:
    server.faults["listing"].statuses = [(429, {"Retry-After": "0"})]
    server.faults[NAME].statuses = [(503, {}), (500, {}), (408, {})]
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_given_up_with_its_answer(server: Server, tmp_path: Path) -> None:
    server.faults[NAME].statuses = [(503, {})] * ATTEMPTS
    with pytest.raises(DownloadError, match=f"the server answers 503 Service Unavailable, {ATTEMPTS} times"):
        fetch(server, tmp_path)


def test_what_the_server_refuses_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.faults[NAME].statuses = [(403, {})]
    with pytest.raises(DownloadError, match=r"the server answers 403 Forbidden"):
        fetch(server, tmp_path)
    assert asked_for_bytes(server) == [0]


def test_more_bytes_than_announced_do_not_fill_the_disk(server: Server, tmp_path: Path) -> None:
    server.faults[NAME].extra = bytes(10_000_000)
    with pytest.raises(DownloadError, match=r"sends more than the 300000 bytes"):
        fetch(server, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3_000_000


def test_an_answer_that_is_not_zenodos_is_one_line(server: Server) -> None:
    server.listing = lambda record: b"<html>maintenance</html>"  # type: ignore[method-assign]
    with pytest.raises(DownloadError, match=f"{server.api}/records/{RECORD}: not the answer of Zenodo's API"):
        Zenodo(server.api, pause=0).files(RECORD)


def test_nobody_there_is_one_line() -> None:
    with serving() as server:
        api = server.api
    with pytest.raises(DownloadError, match=r"records/7: .*Connection refused.*, 6 times in a row"):
        Zenodo(api, pause=0).files(RECORD)


def test_a_folder_that_refuses_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file/dev_data_fan.zip: cannot be written"):
        fetch(server, tmp_path / "file")


def test_an_address_that_is_no_web_address_is_refused(server: Server) -> None:
    def listing(record: int) -> bytes:
        return Server.listing(server, record).replace(b"http://", b"file://")

    server.listing = listing  # type: ignore[method-assign]
    with pytest.raises(DownloadError, match=r"files.0.links.self"):
        Zenodo(server.api, pause=0).files(RECORD)
