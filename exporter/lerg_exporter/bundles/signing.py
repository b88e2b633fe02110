"""Signing a bundle: Ed25519 (RFC 8032) over its `SHA256SUMS`, which carries the hash of every other file."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from lerg_edge.errors import InputError
from lerg_runtime.bundle import BundleFolder, Trust
from lerg_runtime.bundle.parts import (
    CHECKSUMS_FILE,
    MAX_CHECKSUMS_BYTES,
    SIGNATURE_FILE,
    named_in_errors,
    read_bounded,
    replace_file,
    write_synced,
)

__all__ = ["make_keys", "sign_bundle"]

_MAX_KEY_BYTES = 64 * 1024


def make_keys(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """A new pair of keys: the private one at `path`, for its owner alone, and the public one at `path`.pub.

    Returns:
        Both paths.

    Raises:
        InputError: one of them exists already, or there is no folder for them.
        OSError: they cannot be written.
    """
    private = Path(path)
    public = private.with_name(f"{private.name}.pub")
    if not private.absolute().parent.is_dir():
        raise InputError(f"there is no folder {private.absolute().parent}; make it first")
    for each in (private, public):
        if os.path.lexists(each):
            raise InputError(f"{each} exists already, and a key is never replaced; name another file")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    open_part = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with named_in_errors(private, beside=private):
        write_synced(private, secret, private=True)
    try:
        with named_in_errors(public, beside=public):
            write_synced(public, open_part)
    except BaseException:
        private.unlink(missing_ok=True)
        raise
    return private, public


def sign_bundle(
    path: str | os.PathLike[str], key: str | os.PathLike[str], *, trust: Trust | None = None
) -> Path:
    """Check every byte of a bundle, and put the signature of its `SHA256SUMS` beside that.

    A signature that is there is replaced.

    Args:
        path: the bundle's folder.
        key: file of the Ed25519 private key, PEM (PKCS 8), not encrypted.
        trust: sign only what is trusted by this digest or key.

    Returns:
        The file of the signature.

    Raises:
        lerg_runtime.errors.InputError: no such folder.
        InputError: the key is not one.
        BundleError: the bundle is damaged.
        OSError: the signature cannot be written.
    """
    private = _private_key(Path(key))
    folder = BundleFolder.open(path, trust=trust)
    listing = read_bounded(folder.path, CHECKSUMS_FILE, limit=MAX_CHECKSUMS_BYTES)
    target = folder.path / SIGNATURE_FILE
    replace_file(target, private.sign(listing))
    # Read as a device will: what was checked above is what has been signed.
    BundleFolder.open(path, trust=f"sha256:{folder.digest.hex()}")
    return target


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        with open(path, "rb") as stream:
            text = stream.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise InputError(f"--key {path}: {error.strerror}; give the file of a private key") from None
    try:
        key = load_pem_private_key(text, password=None)
    except TypeError:
        raise InputError(
            f"--key {path} is encrypted; give it decrypted, as `openssl pkey -in {path.name}` prints it"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"--key {path} is not an Ed25519 private key in PEM; lerg-export keygen makes one")
    return key
