"""
A certificate authority of the tests' own.

    authority = Authority(tmp_path / "ca")
    authority.path                          # its certificate
    certificate, key = authority.issue("127.0.0.1")
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass
class Authority:
    """Signs for whoever asks; its files are in *directory*."""

    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"authority in {self.directory.name}")
        certificate = (
            _begin(self._name, self._key, self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path = self.directory / "ca.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, host: str, days: int = 2) -> tuple[Path, Path]:
        """Paths of a certificate for a host name or an address, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_alternative(host)])
        certificate = (
            _begin(_name(host), key, self._name, days)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        paths = self.directory / f"{host}.pem", self.directory / f"{host}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _begin(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, days: int = 2
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + min(0, days - 1) * DAY - DAY)
        .not_valid_after(now + days * DAY)
    )
