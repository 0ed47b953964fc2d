"""A store that cannot be used says so with a code, what is wrong and what to do; never a traceback, never for long."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.binaries import binary
from testbed.child import free_port
from ultrathink_api.errors import CODES, Refused
from ultrathink_store import StorageSettings, open_store, probe

if TYPE_CHECKING:
    from testbed.s3 import S3Server

READER, READER_SECRET = "reader", "reader-secret"


def refusal_of(uri: str, settings: StorageSettings | None = None) -> tuple[str, str]:
    with pytest.raises(Refused) as refusal:
        probe(open_store(uri, settings))
    problem = refusal.value.problem
    assert problem.field == "spec.checkpoint.uri"
    assert problem.fix
    return CODES[problem.code].name, problem.message


@pytest.fixture
def settings(s3_server: "S3Server", tmp_path: Path) -> StorageSettings:
    return StorageSettings(
        endpoint=s3_server.endpoint,
        addressing="path",
        credentials=_mounted(tmp_path / "right", s3_server.access_key, s3_server.secret_key),
        attempts=1,
    )


def _mounted(folder: Path, key: str, secret: str) -> Path:
    folder.mkdir()
    (folder / "AWS_ACCESS_KEY_ID").write_text(key)
    (folder / "AWS_SECRET_ACCESS_KEY").write_text(secret)
    return folder


def test_a_missing_bucket_is_named(settings: StorageSettings) -> None:
    name, message = refusal_of("s3://nowhere-to-be-found/runs", settings)
    assert name == "BucketMissing"
    assert "no bucket nowhere-to-be-found" in message


def test_an_unknown_key_is_a_wrong_credential(settings: StorageSettings, s3_bucket: str, tmp_path: Path) -> None:
    unknown = replace(settings, credentials=_mounted(tmp_path / "wrong", "nobody", "x"))
    assert refusal_of(f"s3://{s3_bucket}/runs", unknown)[0] == "WrongCredentials"


def test_a_wrong_secret_is_a_wrong_credential(
    settings: StorageSettings, s3_server: "S3Server", s3_bucket: str, tmp_path: Path
) -> None:
    wrong = replace(settings, credentials=_mounted(tmp_path / "wrong", s3_server.access_key, "not-it"))
    name, message = refusal_of(f"s3://{s3_bucket}/runs", wrong)
    assert name == "WrongCredentials"
    assert "not-it" not in message


def test_no_credentials_at_all_are_wrong_ones(
    settings: StorageSettings, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert refusal_of(f"s3://{s3_bucket}/runs", replace(settings, credentials=None))[0] == "WrongCredentials"


def test_a_dead_endpoint_is_unreachable(settings: StorageSettings, s3_bucket: str) -> None:
    dead = replace(settings, endpoint=f"http://127.0.0.1:{free_port()}")
    assert refusal_of(f"s3://{s3_bucket}/runs", dead)[0] == "StoreUnreachable"


def test_a_name_that_no_server_has_is_unreachable(settings: StorageSettings, s3_bucket: str) -> None:
    nowhere = replace(settings, endpoint="http://nowhere.invalid")
    assert refusal_of(f"s3://{s3_bucket}/runs", nowhere)[0] == "StoreUnreachable"


def test_a_server_that_never_answers_is_given_up(settings: StorageSettings, s3_bucket: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = replace(settings, endpoint=f"http://127.0.0.1:{mute.getsockname()[1]}", read_seconds=0.2)
        assert refusal_of(f"s3://{s3_bucket}/runs", silent)[0] == "StoreUnreachable"


@pytest.mark.parametrize("endpoint", ["", "not a url", "ftp//x", "http://"])
def test_an_endpoint_that_is_no_url_is_refused(settings: StorageSettings, s3_bucket: str, endpoint: str) -> None:
    with pytest.raises(Refused):
        open_store(f"s3://{s3_bucket}/runs", replace(settings, endpoint=endpoint or " "))


@pytest.fixture
def reader(s3_server: "S3Server", settings: StorageSettings, tmp_path: Path) -> Iterator[StorageSettings]:
    """Credentials of a user who may do nothing until a bucket's policy says so."""
    admin = [
        binary("versitygw"),
        "admin",
        *("--access", s3_server.access_key, "--secret", s3_server.secret_key, "--endpoint-url", s3_server.endpoint),
    ]
    user = ["--access", READER, "--secret", READER_SECRET, "--role", "user"]
    subprocess.run([*admin, "create-user", *user], check=True, capture_output=True)
    yield replace(settings, credentials=_mounted(tmp_path / "reader", READER, READER_SECRET))
    subprocess.run([*admin, "delete-user", "--access", READER], check=True, capture_output=True)


def test_a_bucket_of_somebody_else_is_not_permitted(reader: StorageSettings, s3_bucket: str) -> None:
    name, message = refusal_of(f"s3://{s3_bucket}/runs", reader)
    assert name == "StoreNotPermitted"
    assert "may not list" in message


def test_a_bucket_that_can_only_be_read_is_named_by_the_probe(
    reader: StorageSettings, s3_server: "S3Server", s3_bucket: str
) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": [READER]},
                "Action": ["s3:ListBucket", "s3:GetObject"],
                "Resource": [f"arn:aws:s3:::{s3_bucket}", f"arn:aws:s3:::{s3_bucket}/*"],
            }
        ],
    }
    s3_server.client().put_bucket_policy(Bucket=s3_bucket, Policy=json.dumps(policy))
    name, message = refusal_of(f"s3://{s3_bucket}/runs", reader)
    assert name == "StoreNotPermitted"
    assert "does not let us create an object" in message


def test_a_stream_that_fails_half_way_leaves_no_upload_behind(
    settings: StorageSettings, s3_server: "S3Server", s3_bucket: str
) -> None:
    size = 40 << 20
    with pytest.raises(KeyboardInterrupt):
        with open_store(f"s3://{s3_bucket}/runs", settings).writer("x", size) as writer:
            writer.write(bytes(size // 2))
            assert s3_server.client().list_multipart_uploads(Bucket=s3_bucket)["Uploads"]
            raise KeyboardInterrupt
    assert "Uploads" not in s3_server.client().list_multipart_uploads(Bucket=s3_bucket)


def test_the_usual_variables_are_enough(s3_server: "S3Server", s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.env().items():
        monkeypatch.setenv(name, value)
    probe(open_store(f"s3://{s3_bucket}/runs", StorageSettings(addressing="path")))


def test_a_bucket_without_prefix_will_do(settings: StorageSettings, s3_bucket: str) -> None:
    for uri in (f"s3://{s3_bucket}", f"s3://{s3_bucket}/"):
        store = open_store(uri, settings)
        probe(store)
        assert store.uri == f"s3://{s3_bucket}"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "runs",
        "/runs",
        "gs://bucket/runs",
        "http://bucket/runs",
        "file://runs",
        "file://host/runs",
        "file://./runs",
        "file:///runs/../etc",
        "file:///runs//x",
        "s3://",
        "s3://x",
        "s3://Upper/x",
        "s3://a..b/x",
        "s3://bucket/../other",
        "s3://bucket/a/../../other",
        "s3://bucket//x",
        "s3://bucket/a\nb",
    ],
)
def test_a_uri_that_cannot_be_used_is_refused(uri: str) -> None:
    assert refusal_of(uri)[0] == "CheckpointUriUnfit"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal_of(f"file://{tmp_path}/file")[0] == "BucketMissing"
    assert refusal_of(f"file://{tmp_path}/file/below")[0] == "BucketMissing"


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder in which not even root may write")
def test_a_folder_that_may_not_be_written_is_not_permitted() -> None:
    assert refusal_of("file:///sys/kernel/ultrathink")[0] == "StoreNotPermitted"


def test_a_full_disk_is_named() -> None:
    from ultrathink_store.files import FileStore

    with pytest.raises(Refused) as refusal:
        with (
            Path("/dev/full").open("wb", buffering=0) as full,
            FileStore(Path("/tmp"), StorageSettings())._coded("write", "x"),
        ):
            full.write(b"x")
    assert CODES[refusal.value.problem.code].name == "StoreFull"


def test_a_folder_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    probe(open_store(f"file://{tmp_path}/not/there/yet"))
    probe(open_store(f"file://localhost{tmp_path}/with spaces and % # ?"))


def test_nothing_heavy_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    script = (
        "import sys; from ultrathink_store import open_store, probe; import ultrathink_store.listing;"
        f"probe(open_store('file://{tmp_path}/x'));"
        "print(sorted({'boto3', 'botocore', 'torch', 'numpy', 'ray', 'fsspec', 'safetensors'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    ).stdout
    assert output.strip() == "[]"


def test_a_probe_whose_answer_was_lost_finds_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"file://{tmp_path}")
    create, lost = store.create, ["once"]

    def losing(key: str, data: bytes) -> None:
        create(key, data)
        if lost and lost.pop():
            create(key, data)  # as a client does that sends a request again

    monkeypatch.setattr(store, "create", losing)
    probe(store)
