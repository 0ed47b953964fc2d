"""What an S3 server or the way to it says, as a code with a reason and a fix."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ultrathink_api.errors import Refused
from ultrathink_store.backend import FIELD

_WRONG_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthFailure",
    "XAdminNoSuchUser",
}
_NOT_PERMITTED = {"AccessDenied", "AllAccessDisabled", "403", "MethodNotAllowed", "AccountProblem"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "502", "503", "504"}
_OTHER_REGION = {
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "301",
}


def answer_code(error: Any) -> str:
    """The server's own word for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def coded(uri: str, doing: str) -> Iterator[None]:
    """Turns every failure of boto3 inside the block into a `Refused`."""
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        raise _answered(error, uri, doing) from error
    except (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.TokenRetrievalError,
        boto.SSOError,
        boto.ProfileNotFound,
    ) as error:
        raise _credentials(uri, str(error)) from error
    except (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError) as error:
        raise _unreachable(uri, doing, _first_line(error)) from error
    except (boto.BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise Refused.of(
            "UTK0308",
            field=FIELD,
            message=f"could not {doing} {uri}: {_first_line(error)}",
            fix="see to endpoint, region and addressing of the storage settings",
        ) from error


def _answered(error: Any, uri: str, doing: str) -> Refused:
    code = answer_code(error)
    said = f"{code}: {_first_line(error.response.get('Error', {}).get('Message') or 'no reason given')}"
    if code == "NoSuchBucket":
        bucket = uri.removeprefix("s3://").partition("/")[0]
        return Refused.of(
            "UTK0302",
            field=FIELD,
            message=f"there is no bucket {bucket} at this endpoint ({said})",
            fix=f"create the bucket {bucket}, or correct the URI or the endpoint",
        )
    if code in _WRONG_CREDENTIALS:
        return _credentials(uri, said)
    if code in _NOT_PERMITTED:
        return Refused.of(
            "UTK0304",
            field=FIELD,
            message=f"these credentials may not {doing} {uri} ({said})",
            fix=f"allow them to {doing} there, or use others",
        )
    if code in _FULL:
        return Refused.of(
            "UTK0306",
            field=FIELD,
            message=f"no space left to {doing} {uri} ({said})",
            fix="raise the quota or make room",
        )
    if code in _BUSY:
        return _unreachable(uri, doing, said)
    if code in _OTHER_REGION:
        return Refused.of(
            "UTK0308",
            field=FIELD,
            message=f"the bucket of {uri} is in another region ({said})",
            fix="set storage.region to the bucket's region",
        )
    return Refused.of(
        "UTK0308", field=FIELD, message=f"could not {doing} {uri} ({said})", fix="see what the server means by that"
    )


def _credentials(uri: str, said: str) -> Refused:
    return Refused.of(
        "UTK0303",
        field=FIELD,
        message=f"the credentials for {uri} are missing or wrong ({said})",
        fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name the Secret that holds them in storage.secretName",
    )


def _unreachable(uri: str, doing: str, said: str) -> Refused:
    return Refused.of(
        "UTK0305",
        field=FIELD,
        message=f"the server of {uri} does not answer, so we could not {doing} there ({said})",
        fix="see that storage.endpoint is right and reachable from here",
    )


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
