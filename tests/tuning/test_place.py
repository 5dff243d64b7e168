from __future__ import annotations

import optuna
import pytest

from tutelage.errors import OutputError
from tutelage.tuning.place import Place

IDENTITY = {"name": "mine", "search": {"lr": "0.001..0.1:log"}, "trials": 4}
PRUNER = optuna.pruners.NopPruner()


def test_a_folder_is_taken_up_by_the_same_tuning_alone(tmp_path):
    first = Place(tmp_path / "t", IDENTITY, storage=None, resume=True)
    assert Place(tmp_path / "t", IDENTITY, storage=None, resume=True).id == first.id
    with pytest.raises(OutputError, match="--resume"):
        Place(tmp_path / "t", IDENTITY, storage=None, resume=False)
    with pytest.raises(OutputError, match=r"search .*0.001..0.1:log.*0.001..1.*there|search"):
        Place(tmp_path / "t", IDENTITY | {"search": {"lr": "0.001..1"}}, storage=None, resume=True)
    with pytest.raises(OutputError, match=r"trials \(4 there, 5 here\)"):
        Place(tmp_path / "t", IDENTITY | {"trials": 5}, storage=None, resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="other files"):
        Place(tmp_path, IDENTITY, storage=None, resume=True)
    with pytest.raises(OutputError, match="is a file"):
        Place(tmp_path / "file", IDENTITY, storage=None, resume=False)


def test_work_is_had_by_one_at_a_time(tmp_path):
    place = Place(tmp_path / "t", IDENTITY, storage=None, resume=False)
    other = Place(tmp_path / "t", IDENTITY, storage=None, resume=True)
    with place.held("student-0") as mine:
        assert mine
        with other.held("student-0") as theirs:
            assert not theirs
    with other.held("student-0") as theirs:
        assert theirs


def test_a_journal_whose_last_line_was_cut_off_is_read_on(tmp_path):
    place = Place(tmp_path / "t", IDENTITY, storage=None, resume=False)
    study = place.study("student", maximize=True, pruner=PRUNER)
    study.tell(study.ask(), 1.0)
    with open(tmp_path / "t" / "journal.log", "ab") as file:
        file.write(b'{"op_code": 4, "wor')
    again = place.study("student", maximize=True, pruner=PRUNER)
    assert [trial.value for trial in again.trials] == [1.0]
    again.tell(again.ask(), 2.0)
    assert len(place.study("student", maximize=True, pruner=PRUNER).trials) == 2


@pytest.mark.slow
def test_a_database_of_another_tuning_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/trials.db"
    place = Place(tmp_path / "a", IDENTITY, storage=url, resume=False)
    place.study("student", maximize=True, pruner=PRUNER)
    place.study("student", maximize=True, pruner=PRUNER)
    other = Place(tmp_path / "b", IDENTITY, storage=url, resume=False)
    with pytest.raises(OutputError, match="another tuning"):
        other.study("student", maximize=True, pruner=PRUNER)


def test_a_storage_that_cannot_be_opened_is_said_without_its_password(tmp_path):
    place = Place(tmp_path / "a", IDENTITY, storage="nosuch://user:secret@host/db", resume=False)
    with pytest.raises(OutputError, match="cannot be opened") as error:
        place.study("student", maximize=True, pruner=PRUNER)
    assert "nosuch://host/db" in str(error.value)


def test_a_damaged_line_of_the_journal_is_named(tmp_path):
    place = Place(tmp_path / "t", IDENTITY, storage=None, resume=False)
    study = place.study("student", maximize=True, pruner=PRUNER)
    study.tell(study.ask(), 0.25)
    journal = tmp_path / "t" / "journal.log"
    whole = journal.read_bytes()
    lines = whole.count(b"\n")
    assert whole.count(b"0.25") == 1
    for damaged in (whole.replace(b"0.25", b"0.75"), whole[:-3] + b"\n", whole.replace(b"0.25", b"0.\xe35")):
        journal.write_bytes(damaged)
        with pytest.raises(OutputError, match=rf"journal.log is damaged in line {lines} .*restore it from"):
            place.study("student", maximize=True, pruner=PRUNER)
    journal.write_bytes(whole)
    assert place.study("student", maximize=True, pruner=PRUNER).trials[0].value == 0.25
