"""What decides, by Ceph where that is installed. All of it: `python -m lab.ceph -- pytest ...`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.common.errors import StorageUnavailable
from lab.processes.bucket import KEY, S3, Handler
from lab.processes.ceph import ceph_server, missing_programs
from tests.objects.conftest import Storage
from tests.objects.test_runs import (
    test_of_two_that_store_a_run_at_once_one_wins_and_nothing_of_the_other_is_left,
    test_what_changes_while_it_is_being_stored_is_stored_as_well,
)
from tests.objects.test_store import (
    objects,
    test_a_large_object_is_stored_in_parts_and_read_by_ranges,
    test_an_object_is_replaced_while_it_is_the_one_that_was_seen,
    test_an_object_whose_parts_fail_is_none_and_leaves_none,
    test_of_those_that_create_an_object_at_once_one_does,
)
from tests.objects.test_videos import (
    test_an_upload_is_stored_before_it_is_an_episode,
    test_of_two_uploads_at_once_one_becomes_the_episode,
)

__all__ = [
    "objects",
    "test_a_large_object_is_stored_in_parts_and_read_by_ranges",
    "test_an_object_is_replaced_while_it_is_the_one_that_was_seen",
    "test_an_object_whose_parts_fail_is_none_and_leaves_none",
    "test_an_upload_is_stored_before_it_is_an_episode",
    "test_of_those_that_create_an_object_at_once_one_does",
    "test_of_two_that_store_a_run_at_once_one_wins_and_nothing_of_the_other_is_left",
    "test_of_two_uploads_at_once_one_becomes_the_episode",
    "test_what_changes_while_it_is_being_stored_is_stored_as_well",
]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """Ceph's server, for `storage`."""
    if missing := missing_programs():
        pytest.skip(f"Ceph is not installed: {', '.join(missing)}")
    with ceph_server(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"),
        ("a clock", "RequestTimeTooSkewed"),
    ],
)
def test_keys_or_a_clock_that_are_wrong_are_refused_and_not_told(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    """Moto's server looks at neither."""
    if name == "a clock":
        storage.faults.add("GET", "/published/", is_late)
    else:
        monkeypatch.setenv(name, "wrong")
    with pytest.raises(StorageUnavailable, match=rf"refuses the credentials \({code}\)") as error:
        storage.host("one").mirror.store.get("published/x")
    assert KEY not in str(error.value.to_dict())


def is_late(handler: Handler) -> bool:
    handler.headers.replace_header("x-amz-date", "20260101T000000Z")
    return False
