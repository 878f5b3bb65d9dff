"""Private names of other projects stand in one room."""

from support.private_names import findings


def test_no_private_name_of_another_project_comes_to_stand_outside_its_room():
    assert findings() == []
