"""docs/api.md says what the docstrings say."""

from pathlib import Path

from tests.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_docstrings_say() -> None:
    module = load_script("docs/generate_api.py")
    assert (ROOT / "docs/api.md").read_text(encoding="utf-8") == module.markdown(), "run docs/generate_api.py"
    assert "prepare(" in module.markdown()
