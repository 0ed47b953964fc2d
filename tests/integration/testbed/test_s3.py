"""The S3 server of the tests keeps the promises that fencing stands on."""

import pytest
from botocore.exceptions import ClientError

from testbed.s3 import S3Server


def test_creates_an_object_only_once(s3_server: S3Server, s3_bucket: str) -> None:
    s3 = s3_server.client()
    s3.put_object(Bucket=s3_bucket, Key="lease", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=s3_bucket, Key="lease", Body=b"2", IfNoneMatch="*")
    assert _status(refused.value) == 412
    assert s3.get_object(Bucket=s3_bucket, Key="lease")["Body"].read() == b"1"


def test_replaces_only_the_version_that_was_seen(s3_server: S3Server, s3_bucket: str) -> None:
    s3 = s3_server.client()
    seen = s3.put_object(Bucket=s3_bucket, Key="lease", Body=b"1")["ETag"]
    s3.put_object(Bucket=s3_bucket, Key="lease", Body=b"2", IfMatch=seen)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=s3_bucket, Key="lease", Body=b"3", IfMatch=seen)
    assert _status(refused.value) == 412


def test_completes_a_multipart_upload_only_once(s3_server: S3Server, s3_bucket: str) -> None:
    s3 = s3_server.client()

    def upload() -> None:
        key = {"Bucket": s3_bucket, "Key": "big"}
        begun = s3.create_multipart_upload(**key)["UploadId"]
        tag = s3.upload_part(**key, UploadId=begun, PartNumber=1, Body=b"x" * (5 << 20))["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
        s3.complete_multipart_upload(**key, UploadId=begun, MultipartUpload=parts, IfNoneMatch="*")

    upload()
    with pytest.raises(ClientError) as refused:
        upload()
    assert _status(refused.value) == 412


@pytest.mark.parametrize("wrong", [{"aws_secret_access_key": "wrong"}, {"aws_access_key_id": "nobody"}])
def test_refuses_wrong_credentials(s3_server: S3Server, wrong: dict[str, str]) -> None:
    with pytest.raises(ClientError) as refused:
        s3_server.client(**wrong).list_buckets()
    assert _status(refused.value) == 403


def test_keeps_its_data_over_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UTK_TEST_S3_ENDPOINT", raising=False)
    with S3Server() as server:
        bucket = server.bucket()
        server.client().put_object(Bucket=bucket, Key="kept", Body=b"1")
        server.stop()
        server.start()
        assert server.client().get_object(Bucket=bucket, Key="kept")["Body"].read() == b"1"


def test_external_server_is_used_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UTK_TEST_S3_ENDPOINT", "http://s3.example:9000")
    monkeypatch.setenv("UTK_TEST_S3_ACCESS_KEY", "me")
    with S3Server() as server:
        assert server.env()["AWS_ENDPOINT_URL"] == "http://s3.example:9000"
        assert server.env()["AWS_ACCESS_KEY_ID"] == "me"


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
