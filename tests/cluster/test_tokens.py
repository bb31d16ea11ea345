"""The token: made once, for its owner's eyes."""

import stat
from pathlib import Path

import pytest

from asd_ray.cluster.tokens import own_token, protect_token, token_file
from asd_ray.errors import InputError


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "ray" / "auth_token"))
    return token_file()


def test_a_missing_token_is_made_readable_by_its_owner_alone_and_stays_the_same(file: Path) -> None:
    token = own_token()
    assert len(token) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert own_token() == token


def test_one_that_others_can_read_is_taken_and_closed_to_them(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("of ray\n")
    file.chmod(0o644)
    assert own_token() == "of ray"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_environment_comes_first_and_then_no_file_is_made(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    assert own_token() == "given"
    assert not file.exists()


def test_an_empty_one_and_a_place_that_takes_none_are_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.mkdir()
    file.touch()
    with pytest.raises(InputError, match="is empty"):
        own_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/proc/none/auth_token")
    with pytest.raises(InputError, match="RAY_AUTH_TOKEN_PATH"):
        own_token()


def test_what_is_no_token_is_named_with_the_mend(file: Path) -> None:
    file.mkdir(parents=True)
    mode = file.stat().st_mode
    protect_token()
    with pytest.raises(InputError, match=r"auth_token: no token can be read there \(Is a directory\); .*_PATH$"):
        own_token()
    assert file.stat().st_mode == mode  # a folder of mode 0600 could not be entered any more
    file.rmdir()
    file.write_bytes("schlüssel".encode("latin-1"))
    with pytest.raises(InputError, match=r"\(it is no text\)"):
        own_token()


@pytest.mark.parametrize(("mode", "shown"), [(0o440, False), (0o644, True), (0o604, True)])
def test_a_mode_that_cannot_be_changed_matters_only_where_others_can_read(
    file: Path, monkeypatch: pytest.MonkeyPatch, mode: int, shown: bool
) -> None:
    file.parent.mkdir()
    file.write_text("of a secret")
    file.chmod(mode)

    def refuse(path: Path, mode: int) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "chmod", refuse)
    if not shown:
        assert own_token() == "of a secret"
        return
    with pytest.raises(InputError, match=r"others can read this token.*\(Read-only file system\); .*0600"):
        own_token()
