"""The glossary has one line per word, in order, and has the words that the code is made of."""

import re
from pathlib import Path

from asd_ray.clip import SPLITS
from asd_ray.config import METRICS, NAMES, TUNABLE

PAGE = Path(__file__).resolve().parents[2] / "docs/glossary.md"
TABLE = re.findall(
    r"^\| (?!word \||-)([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE
)
WORDS = [words for words, _ in TABLE]


def test_every_word_has_one_line_and_stands_where_one_looks_for_it() -> None:
    assert len(WORDS) == len(set(WORDS)) > 60
    assert sorted(WORDS, key=str.casefold) == WORDS


def test_the_words_of_configs_and_clips_are_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    of_training = {"learning_rate", "weight_decay", "batch_size"}  # of every network: see docs/search-spaces.md
    assert {name for name in {*SPLITS, *TUNABLE} - NAMES - of_training if name not in text} == set()
    assert {name for name in METRICS if name.casefold() not in text.casefold()} == set()
