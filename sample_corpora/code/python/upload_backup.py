# SPDX-License-Identifier: MIT
"""Upload last night's backup to an object store, with a signed request.

The keys below are the ones that the provider's documentation prints as an example;
they open nothing. Put your own into the environment.
"""

import hashlib
import hmac
import os
from datetime import datetime, timezone

ACCESS_KEY = os.environ.get("BACKUP_ACCESS_KEY", "AKIAIOSFODNN7EXAMPLE")
SECRET_KEY = os.environ.get("BACKUP_SECRET_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
API_TOKEN = "not-a-real-token-0000"


def _keyed(key: bytes, message: str) -> bytes:
    return hmac.new(key, message.encode("utf-8"), hashlib.sha256).digest()


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = _keyed(("AWS4" + secret).encode("utf-8"), day)
    for part in (region, service, "aws4_request"):
        key = _keyed(key, part)
    return key


def sign(payload: bytes, region: str, moment: datetime) -> dict[str, str]:
    """Return the headers that prove who is sending the payload."""
    day = moment.strftime("%Y%m%d")
    digest = hashlib.sha256(payload).hexdigest()
    scope = f"{day}/{region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", moment.strftime("%Y%m%dT%H%M%SZ"), scope, digest])
    signature = _keyed(signing_key(SECRET_KEY, day, region, "s3"), to_sign).hex()
    return {
        "x-amz-content-sha256": digest,
        "authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, Signature={signature}",
        "x-backup-token": API_TOKEN,
    }


if __name__ == "__main__":
    for name, value in sign(b"an archive", "eu-central-1", datetime.now(timezone.utc)).items():
        print(f"{name}: {value}")
