"""The build backend of `pip install .`, `pip install -e .` and of source distributions (PEP 517, PEP 660).

It runs `make`, which needs Rust and a C compiler, and needs no Python packages. A source distribution has the sources
of the Rust package, in the form in which cargo packs them, and of this binding.
"""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import build as package_build  # noqa: E402
from build import HERE, ROOT  # noqa: E402

PARTS = ("README.md", "backend.py", "build.py", "src", "st_secrets")


def make():
    """Builds the library. What make prints belongs into the log of pip, not among the results."""
    if shutil.which("make") is None:
        sys.exit("make is missing: building st-secrets needs make, a C compiler, and Rust from https://rustup.rs")
    if subprocess.run(["make", "-C", str(ROOT), "all"], stdout=sys.stderr, check=False).returncode != 0:
        sys.exit("building the library failed, see the lines above")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    make()
    package = package_build.build(ROOT / "build" / "python")
    return package_build.wheel(package, Path(wheel_directory)).name


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """Builds a wheel that refers to a directory of links to the Python files, beside the extension module."""
    make()
    directory = ROOT / "build" / "editable"
    package = package_build.build(directory, lambda source, target: target.symlink_to(source))
    files = {"st_secrets_editable.pth": f"{directory}\n".encode()}
    return package_build.package_wheel(files, package, Path(wheel_directory)).name


def build_sdist(sdist_directory, config_settings=None):
    command = [os.environ.get("CARGO", "cargo"), "package", "--locked", "--no-verify", "--allow-dirty", "--offline"]
    result = subprocess.run([*command, "--quiet", "--target-dir", "target"], cwd=ROOT, stdout=sys.stderr, check=False)
    if result.returncode != 0:
        sys.exit("cargo cannot pack the sources, see the lines above; if it lacks crates, run cargo fetch first")
    base = f"st_secrets-{package_build.version()}"
    files = {}
    crate = ROOT / "target" / "package" / f"st-secrets-{package_build.version()}.crate"
    with tarfile.open(crate) as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            if member.isfile() and name not in (".cargo_vcs_info.json", "Cargo.toml.orig"):
                files[name] = (archive.extractfile(member).read(), member.mode)
    paths = [ROOT / "pyproject.toml"]
    for part in PARTS:
        path = HERE / part
        paths += sorted(path.rglob("*")) if path.is_dir() else [path]
    for path in paths:
        if path.is_file() and path.suffix not in (".pyc", ".so"):
            files[str(path.relative_to(ROOT))] = (path.read_bytes(), path.stat().st_mode & 0o111)
    files["PKG-INFO"] = (package_build.metadata().encode(), 0)
    target = Path(sdist_directory) / f"{base}.tar.gz"
    write_archive(target, base, files)
    return target.name


def write_archive(target, base, files):
    """Writes a reproducible archive."""
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(files):
                data, mode = files[name]
                entry = tarfile.TarInfo(f"{base}/{name}")
                entry.size = len(data)
                entry.mode = 0o755 if mode & 0o100 else 0o644
                archive.addfile(entry, io.BytesIO(data))
