"""What a command line says of where a search runs: read, and refused where it would mean another place there."""

import argparse
import socket
from pathlib import Path

import pytest

from asd_ray import shipped
from asd_ray.cluster import address
from asd_ray.config import SearchConfig, load_config
from asd_ray.errors import InputError
from asd_ray.files.paths import place

HERE = "http://127.0.0.1:8265"


def arguments(**given: object) -> argparse.Namespace:
    defaults = {"address": HERE, "follow": None, "insecure": False, "env": [], "storage": None, "config": None}
    more = {"space": "noisy_arcmix", "mlflow": None}
    places = {"data": place("s3://bucket/shards"), "run": place("s3://bucket/runs/first")}
    return argparse.Namespace(**{**defaults, **more, **places, **given})


@pytest.fixture(autouse=True)
def outside_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (address.JOB, "ASD_STORAGE", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("text", "sent"), [(HERE, True), ("https://h:1/", True), ("auto", False), (None, False)])
def test_a_dashboard_is_sent_to_and_everything_else_joined(text: str | None, sent: bool) -> None:
    assert address.is_for_a_job(arguments(address=text)) is sent


def test_the_job_does_not_send_itself_on_but_joins_the_cluster_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(address.JOB, "1")
    assert not address.is_for_a_job(arguments())
    assert address.joined_address(HERE, insecure=False) == "auto"


def test_following_needs_a_cluster() -> None:
    with pytest.raises(InputError, match=r"^--follow first: give --address http"):
        address.is_for_a_job(arguments(address=None, follow="first"))


def test_without_an_address_it_is_this_machine_and_a_wrong_one_is_named() -> None:
    assert address.joined_address(None, insecure=False) is None
    with pytest.raises(InputError, match=r"^--address ray://head:10001: give auto, host:port"):
        address.joined_address("ray://head:10001", insecure=False)


def test_a_cluster_that_lets_in_anybody_is_not_joined_unless_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(address, "_lets_in_anybody", lambda at: True)
    with socket.create_server(("127.0.0.1", 0)) as head:
        at = f"127.0.0.1:{head.getsockname()[1]}"
        with pytest.raises(InputError, match=r"lets in anybody.*--insecure"):
            address.joined_address(at, insecure=False)
        assert address.joined_address(at, insecure=True) == at


def test_an_address_where_nothing_listens_is_refused_at_once_and_writes_no_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for at in (f"127.0.0.1:{port}", "127.0.0.1:99999", "no-such-host.invalid:6379"):
        with pytest.raises(InputError, match=f"^--address {at}: nothing listens there"):
            address.joined_address(at, insecure=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given", [{"data": None}, {"run": None}, {"data": Path("shards")}, {"run": Path("runs/first")}]
)
def test_places_of_this_machine_are_refused_before_anything_is_sent(given: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"s3://\.\.\., gs://\.\.\., or "):
        address._check(arguments(**given), SearchConfig())
    address._check(arguments(data=Path("/mnt/shared/shards")), SearchConfig())


def test_runs_to_learn_from_are_checked_too_however_they_were_given() -> None:
    config = load_config(None, ["search.warm_start=[s3://bucket/runs/a, runs/earlier]"])
    with pytest.raises(InputError, match=r"^--warm-start runs/earlier: lies on this machine"):
        address._check(arguments(), config.search)
    address._check(arguments(), SearchConfig(warm_start=["s3://bucket/runs/a", "/mnt/asd/runs/b"]))


def test_a_password_of_mlflow_is_not_put_on_the_command_line_of_a_job() -> None:
    with pytest.raises(
        InputError, match=r"^--mlflow http://me:\*\*\*@host:5000: .*MLFLOW_TRACKING_PASSWORD"
    ) as raised:
        address._check(arguments(mlflow="http://me:secret@host:5000"), SearchConfig())
    assert "secret" not in str(raised.value)
    address._check(arguments(mlflow="http://host:5000"), SearchConfig())


def test_passwords_travel_in_the_environment_and_not_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://me:secret@db/asd"
    assert address._without(["--storage", url, "--trials", "3", f"--storage={url}"], "--storage") == [
        "--trials",
        "3",
    ]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    told = address._variables(arguments(storage=url, env=["AWS_ACCESS_KEY_ID"]))
    assert told == {"ASD_STORAGE": url, "AWS_ACCESS_KEY_ID": "key", address.JOB: "1"}
    with pytest.raises(InputError, match="--env NOT_SET: is not set here"):
        address._variables(arguments(env=["NOT_SET"]))


def test_files_that_the_command_line_names_are_known() -> None:
    given = arguments(
        config=Path("mine.yaml"),
        space="spaces/own.yaml",
    )
    search = SearchConfig(enqueue=["s3://b/best/fan.yaml", "a.yaml"])
    assert address._files(given, search) == ["mine.yaml", "spaces/own.yaml", "a.yaml"]


def test_files_are_named_as_the_job_sees_them_wherever_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    (root / "spaces").mkdir(parents=True)
    for name in ("mine.yaml", "spaces/own.yaml", "../outside.yaml"):
        (root / name).touch()
    monkeypatch.chdir(root / "spaces")
    names = [str(root / "mine.yaml"), "own.yaml", str(tmp_path / "outside.yaml"), "no.yaml"]
    there = {name: address._name_there(name, root) for name in names}
    assert list(there.values()) == ["mine.yaml", "spaces/own.yaml", str(tmp_path / "outside.yaml"), "no.yaml"]
    words = ["--config", names[0], "--space=own.yaml", "--run", "s3://bucket/own.yaml", "--set", "a.b=own.yaml"]
    assert address._with_names(words, there) == [
        *("--config", "mine.yaml", "--space=spaces/own.yaml"),
        *("--run", "s3://bucket/own.yaml", "--set", "a.b=own.yaml"),
    ]


def test_a_clone_is_sent_as_it_is_however_the_search_was_called(tmp_path: Path) -> None:
    given = arguments(words=["--config", "launch/quick.yaml", "--storage", "postgresql://me:secret@h/d"])
    order = address._order(given, SearchConfig(), copy=tmp_path)
    assert order.root == shipped.clone()
    assert order.words == ["launch/tune.py", "--config", "launch/quick.yaml"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def from_a_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder for what is sent, where no clone is used; the working directory is another one."""
    monkeypatch.setattr(shipped, "clone", lambda: None)
    monkeypatch.setattr(shipped, "preset", lambda name: Path("quick.yaml") if name == "quick" else None)
    for name in ("here/spaces", "copy"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "copy"


def test_where_there_is_no_clone_the_package_and_the_named_files_are_sent(from_a_wheel: Path) -> None:
    Path("spaces/own.yaml").write_text("question: ?")
    Path("unnamed.yaml").touch()
    here = Path.cwd()
    given = arguments(
        space=f"{here}/spaces/own.yaml",
        config=Path("quick"),  # comes with the package
        words=["--space", f"{here}/spaces/own.yaml", "--config", "quick"],
    )
    order = address._order(given, SearchConfig(), copy=from_a_wheel)
    assert order.root == from_a_wheel
    assert order.words == ["-m", "asd_ray", "tune", "--space", "spaces/own.yaml", "--config", "quick"]
    assert (from_a_wheel / "spaces/own.yaml").read_text() == "question: ?"
    assert (from_a_wheel / "asd_ray/commands/tune.py").is_file()
    assert sorted(path.name for path in from_a_wheel.iterdir()) == ["asd_ray", "spaces"]
    assert not list(from_a_wheel.rglob("__pycache__"))


@pytest.mark.parametrize("name", ["../outside.yaml", "{folder}/outside.yaml", "missing.yaml"])
def test_where_there_is_no_clone_other_files_are_refused_by_name(name: str, from_a_wheel: Path) -> None:
    Path("../outside.yaml").touch()
    name = name.format(folder=from_a_wheel.parent)
    given = arguments(space=name, words=["--space", name])
    with pytest.raises(InputError, match=rf"^{name}: .*not below {Path.cwd()}; put it there"):
        address._order(given, SearchConfig(), copy=from_a_wheel)
    assert not (from_a_wheel.parent / "here" / "outside.yaml").exists()
