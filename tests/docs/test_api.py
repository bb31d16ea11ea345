"""docs/api.md says what the docstrings say."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_docstrings_say() -> None:
    path = ROOT / "docs/generate_api.py"
    spec = importlib.util.spec_from_file_location("generate_api", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/api.md").read_text(encoding="utf-8") == module.markdown(), "run docs/generate_api.py"
    assert "prepare(" in module.markdown()
