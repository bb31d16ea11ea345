"""A search sent to a cluster: what is let in, what is sent, how it is followed. The dashboard is a script."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_ray.cluster import jobs as cluster
from asd_ray.cluster.jobs import JobOrder, check_sent, connect, find, follow, submit
from asd_ray.errors import FAILED, INTERRUPTED, InputError
from tests.cluster.jobs import TOKEN, Dashboard, serving

RUN = "s3://bucket/runs/first"


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setattr(cluster, "LOOK_S", 0.01)
    with serving() as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "launch/tune.py": "",
        "mine.yaml": "",
        ".gitignore": "*.wav\nruns/\n",
        "a.wav": "0" * 99,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def order(root: Path, *, trials: int = 3, files: tuple[str, ...] = ()) -> JobOrder:
    words = ["launch/tune.py", "--trials", str(trials)]
    return JobOrder(root=root, words=words, run=RUN, files=files, variables={"ASD_JOB": "1"})


def test_a_cluster_that_answers_without_a_token_is_refused_unless_that_is_wanted(dashboard: Dashboard) -> None:
    connect(dashboard.address)
    dashboard.open = True
    with pytest.raises(InputError, match=r"answers anybody, without a token.*--insecure"):
        connect(dashboard.address)
    connect(dashboard.address, insecure=True)


def test_a_wrong_token_and_a_cluster_that_is_not_there_are_named(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    with pytest.raises(InputError, match=r"the token in .* is not the cluster's"):
        connect(dashboard.address)
    with pytest.raises(InputError, match="no dashboard of a Ray cluster answers"):
        connect("http://127.0.0.1:1")


def test_what_is_sent_is_the_command_line_and_its_folder(dashboard: Dashboard, root: Path) -> None:
    told: list[str] = []
    name = submit(connect(dashboard.address), order(root), on_event=told.append)
    (sent,) = dashboard.sent
    assert sent["entrypoint"] == "python launch/tune.py --trials 3"
    assert (sent["submission_id"], sent["metadata"]["asd_run"]) == (name, RUN)
    assert name.startswith("first-")
    assert sent["runtime_env"]["env_vars"]["ASD_JOB"] == "1"
    assert sent["runtime_env"]["env_vars"]["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert len(dashboard.packages) == 1
    assert told == [f"job {name}"]


def test_a_run_that_is_searched_already_is_found_or_left_alone(dashboard: Dashboard, root: Path) -> None:
    dashboard.add("first-0", RUN, status="FAILED")
    dashboard.add("first-1", RUN, status="RUNNING", entrypoint="python launch/tune.py --trials 3")
    client = connect(dashboard.address)
    assert submit(client, order(root), on_event=lambda line: None) == "first-1"
    with pytest.raises(InputError, match=r"in use by job first-1 .*--follow ") as raised:
        submit(client, order(root, trials=9), on_event=lambda line: None)
    stop = f"end it with: RAY_AUTH_MODE=token ray job stop --address {dashboard.address} first-1"
    assert str(raised.value).endswith(stop)
    assert dashboard.sent == []
    assert find(client, f"{RUN}/") == "first-1"
    assert find(client, "first-0") == "first-0"
    with pytest.raises(InputError, match=f"no such run; it has {RUN}"):
        find(client, "s3://bucket/runs/other")


def test_what_git_ignores_is_not_sent_and_what_is_too_large_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LIMIT", 2**20)
    check_sent(root, ["mine.yaml", "./launch/tune.py"])
    (root / "runs").mkdir()
    (root / "runs" / "state.pt").write_bytes(bytes(2**22))
    check_sent(root, [])
    (root / "big.bin").write_bytes(bytes(3 * 2**20))
    with pytest.raises(InputError, match=r"holds 3 MiB, and a cluster takes 1 MiB.*big.bin \(3 MiB\)"):
        check_sent(root, [])


def test_a_file_that_does_not_travel_along_is_named_before(root: Path) -> None:
    with pytest.raises(InputError, match=r"^a.wav: .*left out by .gitignore"):
        check_sent(root, ["a.wav"])
    for name in ("/etc/hosts", "../hosts", str(root.parent / "root-2" / "mine.yaml")):
        with pytest.raises(InputError, match=rf"^{name}: .*lies outside of {root}, which is what is sent; put it"):
            check_sent(root, [name])
    with pytest.raises(InputError, match=rf"^no.yaml: .*is not in {root}; put it"):
        check_sent(root, ["no.yaml"])
    with pytest.raises(InputError, match=rf"^{root}/mine.yaml: .*name it mine.yaml"):
        check_sent(root, [str(root / "mine.yaml")])


@pytest.mark.parametrize(
    ("final", "status"),
    [
        ({"status": "SUCCEEDED"}, 0),
        ({"status": "FAILED", "driver_exit_code": 2}, 2),
        ({"status": "STOPPED"}, INTERRUPTED),
        ({"status": "FAILED", "message": "no node"}, FAILED),
    ],
)
def test_a_job_is_followed_to_its_end_and_its_exit_status_is_ours(
    dashboard: Dashboard, final: dict[str, object], status: int
) -> None:
    dashboard.add("first-0", RUN, status="RUNNING")
    dashboard.logs, dashboard.final = ["", "one\n", "one\n", "one\ntwo\n", "one\ntwo\n"], final
    written: list[str] = []
    assert follow(connect(dashboard.address), "first-0", write=written.append) == status
    assert "".join(written).startswith("one\ntwo\n")
    assert "".join(written).count("one") == 1
    assert ("no node" in "".join(written)) == ("message" in final)


def test_a_laptop_that_was_away_hears_on_and_one_that_stays_away_is_told_how_to_come_back(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    dashboard.add("first-0", RUN, status="RUNNING")
    dashboard.logs, dashboard.final = ["one\n", "one\ntwo\n"], {"status": "SUCCEEDED"}
    client = connect(dashboard.address)
    dashboard.away = 3
    written: list[str] = []
    assert follow(client, "first-0", write=written.append) == 0
    assert "".join(written) == "one\ntwo\n"
    dashboard.away = 99
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.1)
    with pytest.raises(InputError, match="job first-0 goes on there, follow it with --follow first-0"):
        follow(client, "first-0", write=written.append)


def test_a_cluster_in_trouble_is_asked_again_and_a_job_that_it_does_not_know_is_named(
    dashboard: Dashboard,
) -> None:
    dashboard.add("first-0", RUN, status="RUNNING")
    dashboard.logs, dashboard.final = ["one\n"], {"status": "SUCCEEDED"}
    client = connect(dashboard.address)
    written: list[str] = []
    dashboard.trouble = [500, 503]
    assert follow(client, "first-0", write=written.append) == 0
    assert "".join(written) == "one\n"
    with pytest.raises(InputError, match=r"^--follow first-9: .*knows no such job.*same call without --follow"):
        follow(client, "first-9", write=written.append)
    dashboard.trouble = [418]
    with pytest.raises(InputError, match=r"the cluster refuses: Request failed with status code 418: in trouble"):
        follow(client, "first-0", write=written.append)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_not_taken_any_more_is_named_at_once(dashboard: Dashboard, status: int) -> None:
    dashboard.add("first-0", RUN, status="RUNNING")
    client = connect(dashboard.address)
    dashboard.trouble = [status]
    with pytest.raises(InputError, match=r"the token in .* is not the cluster's; copy that of its head there$"):
        follow(client, "first-0", write=print)


@pytest.mark.parametrize("status", [403, 500])
def test_what_goes_wrong_while_a_search_is_sent_is_one_line(dashboard: Dashboard, root: Path, status: int) -> None:
    client = connect(dashboard.address)
    dashboard.trouble = [status]
    with pytest.raises(InputError, match=f"^{dashboard.address}: ") as raised:
        submit(client, order(root), on_event=print)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("variable", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_a_search_goes_to_the_cluster_that_was_checked_whatever_the_environment_names(
    variable: str, dashboard: Dashboard, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as other:
        monkeypatch.setenv(variable, other.address)
        client = connect(dashboard.address)
        submit(client, order(root), on_event=print)
        assert os.environ[variable] == other.address
    assert (len(dashboard.sent), other.sent) == (1, [])


def test_a_dashboard_on_this_machine_is_asked_without_a_proxy(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "example.org")
    assert connect(dashboard.address).get_address() == dashboard.address
    assert os.environ["no_proxy"].startswith("example.org,")
