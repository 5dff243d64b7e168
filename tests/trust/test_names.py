from __future__ import annotations

import os
from pathlib import Path

import pytest

from tutelage.errors import AnswersError, OutputError, RecipeError
from tutelage.trust import inside, plain_name, printable, read_sha256, refuse_links


@pytest.mark.parametrize("came", ["shards/000000.safetensors", "a", "a/b/c.gz", "ä.json"])
def test_a_name_below_its_folder_is_taken(came: str):
    assert inside(came, "it", AnswersError) == came


@pytest.mark.parametrize(
    "came", ["/etc/passwd", "../a", "a/../../b", "", None, 3, "a\nb", "a\x00", "a\\..\\b", "C:/x", "s3://b/a"]
)
def test_a_name_that_leads_out_is_refused(came: object):
    with pytest.raises(AnswersError, match="leads out of its folder"):
        inside(came, "it", AnswersError)


@pytest.mark.parametrize("came", ["student", "[bold]", "a b", "t2", "größer", "x" * 120])
def test_an_arms_name_may_be_any_word(came: str):
    assert plain_name(came, "an arm", RecipeError) == came


@pytest.mark.parametrize(
    "came",
    ["../x", "/x", "a/b", ".", "..", ".hidden", "", "a\x1b[2J", "x" * 121, "a\nb", "~", "-rf", " a", 3],
)
def test_an_arms_name_is_no_path(came: object):
    with pytest.raises(RecipeError, match="files are named after it"):
        plain_name(came, "an arm", RecipeError)


def test_a_checksum_is_no_path():
    assert read_sha256("0f" * 32, "it", AnswersError)
    for came in ("/home/me/.ssh", "0F" * 32, "0f" * 31, None):
        with pytest.raises(AnswersError, match="64 hexadecimal digits"):
            read_sha256(came, "it", AnswersError)


def test_a_link_that_leads_out_is_named(tmp_path: Path):
    folder = tmp_path / "theirs"
    (folder / "deep").mkdir(parents=True)
    (folder / "file").write_text("")
    (folder / "within").symlink_to("file")
    refuse_links(folder)
    (tmp_path / "mine").symlink_to(folder)  # that the user's own name of it is a link is the user's choice
    refuse_links(tmp_path / "mine")
    (folder / "deep" / "out").symlink_to("../../elsewhere")
    with pytest.raises(OutputError, match=r"a link, deep/out to \.\./\.\./elsewhere, which leads out"):
        refuse_links(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "results.json")
    with pytest.raises(OutputError, match=r"results\.json, which is neither"):
        refuse_links(tmp_path)


def test_what_moves_the_cursor_is_written_out():
    assert printable("a\x1b[31mb\r\x07\x9b\u202e") == r"a\x1b[31mb\r\x07\x9b\u202e"
    assert printable("Zürich:\n\t[bold] 学") == "Zürich:\n\t[bold] 学"
