"""Whose bundle is it? A pinned digest or a signature, checked before anything else of a bundle is read.

Both are of `SHA256SUMS`, which carries the SHA-256 of every file that does not change. A digest needs no
library; Ed25519 (RFC 8032) is computed by `cryptography`, which only those who ask for it need.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from pathlib import Path

from lerg_runtime.bundle._boundary import read_bounded
from lerg_runtime.errors import BundleError, InputError, LergRuntimeError

__all__ = ["SIGNATURE_BYTES", "SIGNATURE_FILE", "Trust", "check_trust"]

SIGNATURE_FILE = "SHA256SUMS.sig"
SIGNATURE_BYTES = 64

Trust = str | os.PathLike[str]
"""`sha256:` and 64 hexadecimal digits, or the path of an Ed25519 public key in PEM."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PREFIX = "sha256:"
_MAX_KEY_BYTES = 64 * 1024


def check_trust(folder: Path, listing: bytes, trust: Trust) -> None:
    """Refuse a bundle that is not the one, or not from the one, that is trusted.

    Args:
        folder: of the bundle.
        listing: the bytes of its `SHA256SUMS`.
        trust: a digest or the path of a public key.

    Raises:
        InputError: `trust` is neither.
        BundleError: another digest, no signature, or one by another key.
        LergRuntimeError: a key was given and `cryptography` is not installed.
    """
    text = os.fspath(trust)
    if text.startswith(_PREFIX):
        _check_digest(folder, listing, text.removeprefix(_PREFIX).lower())
    else:
        _check_signature(folder, listing, Path(text))


def _check_digest(folder: Path, listing: bytes, wanted: str) -> None:
    if not _DIGEST.fullmatch(wanted):
        raise InputError(
            f"trust is {_PREFIX}{wanted[:80]}; behind {_PREFIX} must stand 64 hexadecimal digits, which "
            "`sha256sum BUNDLE/SHA256SUMS` prints"
        )
    found = hashlib.sha256(listing).hexdigest()
    if not hmac.compare_digest(found, wanted):
        raise BundleError(f"{folder} is not the bundle that is trusted: it is {_PREFIX}{found}")


def _check_signature(folder: Path, listing: bytes, key: Path) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise LergRuntimeError(
            "checking a signature needs the package cryptography; install lerg-edge[trust], or pin the "
            f"bundle with {_PREFIX} and its digest, which needs nothing"
        ) from None
    try:
        with open(key, "rb") as stream:
            text = stream.read(_MAX_KEY_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"trust is {str(key)!r}: {reason}; give the file of a public key, or {_PREFIX} and a digest"
        ) from None
    try:
        public = load_pem_public_key(text)
    except Exception:  # whatever the library says of a file that is no key
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise InputError(f"{key} is not an Ed25519 public key in PEM; lerg-export keygen makes one")
    if not os.path.lexists(folder / SIGNATURE_FILE):
        raise BundleError(
            f"{folder} is not signed: it has no {SIGNATURE_FILE}; ask its maker for the signature"
        )
    signature = read_bounded(folder, SIGNATURE_FILE, limit=SIGNATURE_BYTES)
    try:
        public.verify(signature, listing)
    except InvalidSignature:
        raise BundleError(
            f"{folder / SIGNATURE_FILE} is not a signature of this bundle by the key {key}; do not use it"
        ) from None
