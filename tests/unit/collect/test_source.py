"""What a source may be called."""

import pytest

from tasks.collect.source import open_source
from tasks.model.errors import ConfigurationError
from tasks.model.objects import Location


@pytest.mark.parametrize(
    "uri",
    [
        "gs://acme-logs/nginx",
        "http://logs.example.org/access.log",
        "https://acme-logs.s3.amazonaws.com/nginx/",
        "S3A://acme-logs",
        "file://var/log/nginx",
    ],
)
def test_a_kind_that_is_not_read_is_refused_with_those_that_are(uri):
    """It was taken for a directory; `file://var/log` is the directory /log of a machine `var`."""
    with pytest.raises(ConfigurationError, match=r"s3://bucket/prefix") as caught:
        open_source(Location(uri))

    assert uri in str(caught.value)


@pytest.mark.parametrize("start", ["", "file://", "file://localhost"])
def test_a_directory_is_a_path_or_a_file_uri(tmp_path, start):
    """All three name the same one."""
    assert open_source(Location(f"{start}{tmp_path}")).uri == tmp_path.as_uri()
