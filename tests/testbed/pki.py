"""A certificate authority that lives as long as one test bed, made with the openssl command."""

import os
import subprocess
from pathlib import Path

from testbed import packages

DAYS = "3650"  # longer than any test bed lives


class Authority:
    """Makes keys and certificates in one folder; each name is made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl_path = packages.command("openssl")
        if not self.certificate.exists():
            self._make_root()

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def key(self) -> Path:
        return self.folder / "ca.key"

    def issue(
        self, name: str, user: str, groups: tuple[str, ...] = (), serves: tuple[str, ...] = ()
    ) -> tuple[Path, Path]:
        """Certificate and key of a user; `serves` lists DNS:... and IP:... where it is also a server's."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if certificate.exists():
            return certificate, key
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        lines = [
            "basicConstraints=CA:FALSE",
            "keyUsage=digitalSignature,keyEncipherment",
            "extendedKeyUsage=serverAuth,clientAuth",
        ]
        if serves:
            lines.append(f"subjectAltName={','.join(serves)}")
        extensions.write_text("\n".join(lines) + "\n")
        self._new_key(key)
        self._openssl("req", "-new", "-key", str(key), "-subj", subject, "-out", str(request))
        signing = ["-CA", str(self.certificate), "-CAkey", str(self.key), "-CAcreateserial", "-days", DAYS]
        self._openssl(
            "x509", "-req", "-in", str(request), *signing, "-extfile", str(extensions), "-out", str(certificate)
        )
        return certificate, key

    def service_account_key(self) -> Path:
        """Signs and verifies ServiceAccount tokens (Kubernetes takes the public half from the private one)."""
        key = self.folder / "sa.key"
        if not key.exists():
            self._new_key(key)
        return key

    def _make_root(self) -> None:
        self._new_key(self.key)
        usage = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        extensions = [argument for each in usage for argument in ("-addext", each)]
        base = ["req", "-x509", "-new", "-key", str(self.key), "-subj", "/CN=testbed", "-days", DAYS]
        self._openssl(*base, *extensions, "-out", str(self.certificate))

    def _new_key(self, path: Path) -> None:
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))
        path.chmod(0o600)

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            [self._openssl_path, *arguments], capture_output=True, text=True, check=False, env={**os.environ}
        )
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")
