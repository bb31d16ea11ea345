"""What an environment lacks of what a wheel asks for."""

import pytest

from asd_ray.doctor import installed


@pytest.fixture(autouse=True)
def nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "check_imports", lambda mend: iter(()))


def test_what_is_missing_or_of_another_version_is_a_fault_with_its_mend() -> None:
    asked = ["numpy>=99", "no-such-package>=1", "PyYAML>=6", "torchless; extra == 'dev'"]
    (found,) = installed.check_installed(asked)
    assert found.level == "fault"
    assert "numpy " in found.text
    assert " is not >=99, no-such-package is not installed; run: " in found.text
    assert "torchless" not in found.text


def test_what_fits_is_counted() -> None:
    (found,) = installed.check_installed(["PyYAML>=6", "numpy", "torchless; extra == 'dev'"])
    assert (found.level, found.text) == ("ok", "2, as asd-ray asks for")
    (found,) = installed.check_installed()  # of this environment, which has what pyproject.toml asks for
    assert found.level == "ok"
