"""Signatures and pinned digests: whose bundle a device opens."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))

from _tiny import raw_ids, tiny_model, write_tiny

from lerg_edge.errors import InputError
from lerg_exporter.bundles.signing import make_keys, sign_bundle
from lerg_exporter.cli import main as export_main
from lerg_runtime.bundle import BundleFolder, copy_bundle, save_state
from lerg_runtime.cli import main as edge_main
from lerg_runtime.errors import BundleError, LergRuntimeError
from lerg_runtime.errors import InputError as RuntimeInputError

USER = raw_ids("text", 1, prefix="user")[0]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "bundle", tiny_model())


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path / "maker.key")


def run(
    capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], object], *words: object
) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    return int(caught.value.code or 0), printed.out, printed.err


def test_a_signed_bundle_opens_by_its_makers_key_and_by_no_other(
    bundle: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    with pytest.raises(BundleError, match=r"is not signed: it has no SHA256SUMS\.sig"):
        BundleFolder.open(bundle, trust=public)
    sign_bundle(bundle, private)
    assert BundleFolder.open(bundle, trust=public).digest == BundleFolder.open(bundle).digest
    _, other = make_keys(tmp_path / "other.key")
    with pytest.raises(BundleError, match=r"SHA256SUMS\.sig is not a signature of this bundle by the key"):
        BundleFolder.open(bundle, trust=other)


@pytest.mark.parametrize("size", [0, 63, 64, 65, 4096])
def test_no_other_bytes_are_a_signature(bundle: Path, keys: tuple[Path, Path], size: int) -> None:
    sign_bundle(bundle, keys[0])
    (bundle / "SHA256SUMS.sig").write_bytes(bytes(size))
    BundleFolder.open(bundle)  # nobody asked
    with pytest.raises(BundleError, match=r"SHA256SUMS\.sig"):
        BundleFolder.open(bundle, trust=keys[1])


def test_a_signature_of_another_bundle_is_none_of_this(
    bundle: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    other = write_tiny(tmp_path / "second", tiny_model(seed=1))
    sign_bundle(other, keys[0])
    (bundle / "SHA256SUMS.sig").write_bytes((other / "SHA256SUMS.sig").read_bytes())
    with pytest.raises(BundleError, match="is not a signature of this bundle"):
        BundleFolder.open(bundle, trust=keys[1])


def test_saving_and_copying_keep_the_signature(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    sign_bundle(bundle, keys[0])
    folder = BundleFolder.open(bundle, trust=keys[1])
    state = folder.read_state()
    save_state(bundle, state, digest=folder.digest)
    copy_bundle(folder, tmp_path / "copy", state)
    for place in (bundle, tmp_path / "copy"):
        BundleFolder.open(place, trust=keys[1])


def test_openssl_agrees(bundle: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    sign_bundle(bundle, private)
    words = (
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        public,
        "-rawin",
        "-in",
        bundle / "SHA256SUMS",
    )
    found = subprocess.run(
        [*words, "-sigfile", bundle / "SHA256SUMS.sig"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "Success" in found.stdout


def test_a_pinned_digest_needs_no_library(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    digest = hashlib.sha256((bundle / "SHA256SUMS").read_bytes()).hexdigest()
    BundleFolder.open(bundle, trust=f"sha256:{digest}")
    BundleFolder.open(bundle, trust=f"sha256:{digest.upper()}")
    with pytest.raises(BundleError, match=f"not the bundle that is trusted: it is sha256:{digest}"):
        BundleFolder.open(bundle, trust="sha256:" + "0" * 64)
    for wrong in ("sha256:", "sha256:12", f"sha256:{digest}0", f"sha256:{digest[:-1]}g"):
        with pytest.raises(RuntimeInputError, match="64 hexadecimal digits"):
            BundleFolder.open(bundle, trust=wrong)
    with pytest.raises(LergRuntimeError, match=r"install lerg-edge\[trust\]"):
        BundleFolder.open(bundle, trust="maker.key.pub")


def test_what_is_no_key(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    rsa = tmp_path / "rsa.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", rsa], check=True, capture_output=True)
    (tmp_path / "text").write_text("no key")
    for wrong in (private, rsa, tmp_path / "text", tmp_path / "nothing", tmp_path, "", "a\0b"):
        with pytest.raises(RuntimeInputError):
            BundleFolder.open(bundle, trust=wrong)
    for wrong in (public, rsa, tmp_path / "text", tmp_path / "nothing", tmp_path):
        with pytest.raises(InputError, match="--key"):
            sign_bundle(bundle, wrong)
    locked = tmp_path / "locked.pem"
    words = ["openssl", "pkey", "-in", private, "-aes256", "-passout", "pass:x", "-out", locked]
    subprocess.run(words, check=True, capture_output=True)
    with pytest.raises(InputError, match="is encrypted"):
        sign_bundle(bundle, locked)
    assert not (bundle / "SHA256SUMS.sig").exists()


def test_a_damaged_bundle_is_not_signed(bundle: Path, keys: tuple[Path, Path]) -> None:
    (bundle / "model.pte").write_bytes(b"another")
    with pytest.raises(BundleError):
        sign_bundle(bundle, keys[0])
    assert not (bundle / "SHA256SUMS.sig").exists()


def test_keys_are_private_and_never_replaced(tmp_path: Path) -> None:
    private, public = make_keys(tmp_path / "maker.key")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert public.name == "maker.key.pub"
    with pytest.raises(InputError, match="never replaced"):
        make_keys(private)
    private.unlink()
    with pytest.raises(InputError, match=r"maker\.key\.pub exists already"):
        make_keys(private)
    assert not private.exists()
    with pytest.raises(InputError, match="there is no folder"):
        make_keys(tmp_path / "no" / "key")


def test_commands(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "k"
    assert run(capsys, export_main, "keygen", "-o", key)[0] == 0
    for main, words in (
        (edge_main, ("info", bundle)),
        (edge_main, ("recommend", bundle, "--user", USER)),
        (edge_main, ("evaluate", bundle, "--test", key)),
        (edge_main, ("finetune", bundle, "--interactions", key)),
        (edge_main, ("profile", bundle)),
        (export_main, ("inspect", bundle)),
        (export_main, ("verify", bundle)),
    ):
        status, out, err = run(capsys, main, *words, "--trust", f"{key}.pub")
        assert (status, out) == (4, ""), words
        assert "is not signed" in err
        assert err.count("\n") == 1
    assert run(capsys, export_main, "sign", bundle, "--key", key)[0] == 0
    assert run(capsys, edge_main, "info", bundle, "--trust", f"{key}.pub")[0] == 0
    status, out, _ = run(capsys, edge_main, "info", bundle, "--json")
    digest = hashlib.sha256((bundle / "SHA256SUMS").read_bytes()).hexdigest()
    assert f'"identity": "sha256:{digest}"' in out
    assert run(capsys, edge_main, "info", bundle, "--trust", "nobody.pub")[0] == 2
