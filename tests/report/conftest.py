"""What tests of reports share."""

import pytest

from asd_ray.report import figures
from asd_ray.report.figures import Panel


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not drawn, which is half of the work of a report: where nobody looks at them."""

    def save(panel: Panel) -> None:
        panel.svg = "<svg></svg>"

    monkeypatch.setattr(Panel, "save", save)
    monkeypatch.setattr(figures, "trials_figure", lambda summary: "<svg></svg>")
