"""The files of the page: its words in every language, and nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from application.events import LANES, READERS
from tests.unit.test_api import FOLDER

STATIC = FOLDER / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
EVENTS_DOCUMENT = FOLDER.parent / "docs" / "events.md"


def words(language: str) -> dict[str, str]:
    text = (STATIC / f"words-{language}.js").read_text()
    [block] = re.findall(rf"export const {language} = {{\n(.*?)\n}};", text, re.DOTALL)
    found = re.findall(r'^  (?:"([^"]+)"|(\w+)): "(.*)",$', block, re.MULTILINE)
    assert len(found) == len([line for line in block.splitlines() if line.strip()])
    assert len({quoted or bare for quoted, bare, _ in found}) == len(found), "a word is there twice"
    return {quoted or bare: said for quoted, bare, said in found}


def used() -> set[str]:
    """The names of words that scripts use as they stand."""
    return {name for path in SCRIPTS for name in re.findall(r'\bt\(\s*"([^"]+)"', path.read_text())}


def test_both_languages_have_the_same_words_with_the_same_places_to_fill_in() -> None:
    english, spanish = words("en"), words("es")
    assert english.keys() == spanish.keys()
    for name, text in english.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", spanish[name])), name


def test_every_word_that_is_used_is_there_and_none_is_left_over() -> None:
    english = words("en")
    assert used() <= english.keys()
    made_up = {kind for path in SCRIPTS for kind in re.findall(r"(?:t\(`|named\(\")([\w-]+)", path.read_text())}
    assert {name for name in english.keys() - used() if name.partition(".")[0] not in made_up} == set()


def test_there_are_words_for_every_lane_event_status_and_reason() -> None:
    english = words("en")
    assert {f"lane.{lane}" for lane in LANES} <= english.keys()
    assert {f"event.{name}" for name in READERS} <= english.keys()
    assert {f"feed.{state}" for state in ("resting", "away", "no-queues", "connected")} <= english.keys()
    section = EVENTS_DOCUMENT.read_text().partition("## Reasons")[2].partition("\n## ")[0]
    reasons = {
        slug for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for slug in re.findall("`(.*?)`", row)
    }
    assert "out-of-stock" in reasons
    assert {f"reason.{slug}" for slug in reasons} <= english.keys()


@pytest.mark.parametrize("path", [*SCRIPTS, STATIC / "index.html", STATIC / "style.css"], ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"""(?:src|href|import|from|url\()\s*[=(]?\s*["']?(?:https?:)?//""", text)
    for source in re.findall(r'from "([^"]+)"', text):
        assert (FOLDER / source.lstrip("/")).is_file(), source


def test_the_page_has_no_script_or_style_within_it() -> None:
    text = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*src=)", text) == []
    assert "<style" not in text
    assert " style=" not in text
    assert not re.search(r"\son\w+=", text)


def test_what_others_made_has_its_licence_beside_it() -> None:
    licences = (STATIC / "vendor" / "LICENSES.txt").read_text()
    for path in (STATIC / "vendor").iterdir():
        assert path.name in licences or path.name == "LICENSES.txt"


def test_no_script_of_ours_is_longer_than_one_reads_at_once() -> None:
    for path in SCRIPTS:
        assert len(path.read_text().splitlines()) <= 400, path.name
