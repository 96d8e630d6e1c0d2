"""TLS to MySQL: once it is asked for, nobody else can answer in the server's place."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from tasks.model.errors import ConfigurationError

PARAMETERS = frozenset({"ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_identity"})
"""Of the database's URL; one of them is enough to ask for TLS."""

_VARIABLE = "MIDDLEWATCH_DATABASE_URL"
_TRUTH = {"true": True, "false": False}


def open_context(parameters: Mapping[str, str]) -> ssl.SSLContext | None:
    """
    What the server has to prove; None where no parameter of ours asks for TLS.

    Its certificate must come from *ssl_ca* (default: the authorities that this system trusts) and
    name the host of the URL, unless *ssl_verify_identity* is false. The driver itself takes
    *ssl_verify_identity* without *ssl_ca* for "any host".

    Raises:
        ConfigurationError: A file cannot be used, or a value is neither true nor false.
    """
    if not PARAMETERS & parameters.keys():
        return None
    is_named = _TRUTH.get(parameters.get("ssl_verify_identity", "true").lower())
    if is_named is None:
        raise ConfigurationError(
            f"ssl_verify_identity in {_VARIABLE} is neither true nor false: write one of them."
        )
    certificate, key = parameters.get("ssl_cert"), parameters.get("ssl_key")
    if key and not certificate:
        raise ConfigurationError(
            f"{_VARIABLE} has ssl_key without ssl_cert: add the certificate that belongs to it."
        )
    context = _trust(parameters.get("ssl_ca"))
    # the certificates that MySQL makes for itself lack what Python 3.13 insists on
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = is_named
    if certificate:
        _identify(context, certificate, key)
    return context


def explain_refusal(error: ssl.SSLError) -> str:
    """What is wrong with the server's certificate or its TLS, and what to do about it."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"does not speak TLS with us ({error.reason}): check its TLS settings"
    why = error.verify_message.rstrip(".")
    return (
        f"shows a certificate that cannot be trusted ({why}): set ssl_ca in {_VARIABLE} to the "
        "authority that signed it, and the host to a name that it holds"
    )


def _trust(authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:  # an SSLError is one, too
        raise _unusable("ssl_ca", authority, error) from None


def _identify(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    for name, path in (("ssl_cert", certificate), ("ssl_key", key)):
        if path and not Path(path).is_file():
            raise _unusable(name, path, FileNotFoundError(2, "there is no such file"))
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except OSError as error:
        raise _unusable("ssl_cert", certificate, error) from None


def _unusable(name: str, path: str | None, error: OSError) -> ConfigurationError:
    is_about_content = isinstance(error, ssl.SSLError)
    why = "it holds no such PEM" if is_about_content else error.strerror or type(error).__name__
    return ConfigurationError(
        f"The file '{path}' that {name} names in {_VARIABLE} cannot be used ({why}): "
        "give the path of a readable PEM file, of a key without a passphrase."
    )
