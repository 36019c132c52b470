"""Builds the Python package with the extension module, which contains the library, and optionally a wheel.

    python3 build.py ROOT/build/python        builds the package, for PYTHONPATH
    python3 build.py ROOT/build/python WHEELS also builds the wheel in the directory WHEELS
    python3 build.py --command WHEELS         builds the wheel st-secrets-command, with the program
    python3 build.py --installed DIRECTORY    puts the package as pip would install it into DIRECTORY, for packages of
                                              distributions

One wheel supports all versions of Python from 3.10 (stable ABI). The build needs a C compiler, Python's headers and
build/lib/libst_secrets.a or, for the program, only build/bin/st-secrets, but no Python packages.
For another machine, `make wheel TARGET=…` sets CC, and BUILD, ARCH, BINUTILS and RUST_TARGET: where the library is, the
machine, the prefix of its tools, and its name in Rust.
"""

import ast
import base64
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / os.environ.get("BUILD", "build")
LIBRARY = BUILD / "lib" / "libst_secrets.a"
COMMAND = BUILD / "bin" / "st-secrets"
COMMAND_NAME = "st-secrets-command"
STATIC_LIBS = "-lutil -lrt -lpthread -lm -ldl -lc".split()
FLAGS = "-std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -fPIC -fvisibility=hidden".split()
# The identifier of a build depends on the directories in debug data.
FLAGS += [f"-ffile-prefix-map={directory}=." for directory in (ROOT, Path.cwd())]
# Exports only the module's entry. The module is never unloaded, because it has the library's thread-local destructors.
LINK_FLAGS = "-shared -Wl,-Bsymbolic -Wl,-z,nodelete -Wl,-z,now".split()


def run(command):
    result = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    if result.returncode != 0:
        sys.exit(f"this command failed: {shlex.join(command)}")
    return result.stdout


def version():
    return re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def headers():
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        sys.exit("free-threaded builds of Python (python3.14t) are not supported: use one with the GIL")
    for place in (sysconfig.get_path("include"), sysconfig.get_path("platinclude")):
        if place and (Path(place) / "Python.h").exists():
            return place
    sys.exit("Python.h is missing: install the headers of this Python (package python3-dev)")


def is_newer(target, sources):
    return target.exists() and all(target.stat().st_mtime > source.stat().st_mtime for source in sources)


def compile_module(target, work):
    """Compiles and links what has changed. Does not link Python: the interpreter provides its symbols."""
    if not LIBRARY.exists():
        sys.exit(f"{LIBRARY} is missing: run make")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    extra = shlex.split(os.environ.get("CFLAGS", ""))
    header = [ROOT / "include" / "st_secrets.h", HERE / "src" / "native.h", Path(__file__)]
    include = [f"-I{ROOT / 'include'}", f"-I{headers()}"]
    work.mkdir(parents=True, exist_ok=True)
    objects = []
    for source in sorted((HERE / "src").glob("*.c")):
        objects.append(work / f"{source.stem}.o")
        if not is_newer(objects[-1], [source, *header]):
            run([*compiler, *FLAGS, *include, *extra, "-c", str(source), "-o", str(objects[-1])])
    if not is_newer(target, [LIBRARY, *objects]):
        script = work / "exports.map"
        script.write_text("{ global: PyInit__native; local: *; };\n")
        flags = [*LINK_FLAGS, f"-Wl,--version-script={script}", *extra]
        run([*compiler, *flags, "-o", str(target), *map(str, objects), str(LIBRARY), *STATIC_LIBS])
        if not os.environ.get("CFLAGS"):
            run([os.environ.get("BINUTILS", "") + "strip", "--strip-unneeded", str(target)])


def build(directory, place=shutil.copyfile):
    """Builds the package in a directory. `place(source, target)` puts a Python file there."""
    package = directory / "st_secrets"
    package.mkdir(parents=True, exist_ok=True)
    present = set()
    for source in sorted((HERE / "st_secrets").rglob("*")):
        if source.suffix in (".py", ".pyi", ".typed"):
            target = package / source.relative_to(HERE / "st_secrets")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            place(source, target)
            present.add(target)
    for old in package.rglob("*.py*"):
        if old not in present and "__pycache__" not in old.parts:
            old.unlink()
    compile_module(package / "_native.abi3.so", directory / "objects")
    return package


def platform(*binaries):
    """The tag of the oldest C library that has what the binaries need."""
    if os.environ.get("RUST_TARGET", "").endswith("-musl"):
        return f"musllinux_1_2_{os.environ['ARCH']}"
    needed = re.findall(r"GLIBC_2\.(\d+)", run(["readelf", "--version-info", "--wide", *map(str, binaries)]))
    machine = os.environ.get("ARCH") or os.uname().machine
    return f"manylinux_2_{max(map(int, needed))}_{machine}"


def table(name):
    """Returns a table of pyproject.toml. Its strings and arrays are also Python's; tomllib exists from 3.11 on."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    body = re.search(rf"^\[{re.escape(name)}\]\n(.*?)(?=^\[\w|\Z)", text, re.MULTILINE | re.DOTALL)[1]
    values = re.findall(r"""^([\w-]+) = (".*?"|\[.*?\])$""", body, re.MULTILINE | re.DOTALL)
    return {key: ast.literal_eval(value) for key, value in values}


def metadata():
    """Returns the core metadata of pyproject.toml, for a wheel and a source distribution."""
    project = table("project")
    extra = ["Provides-Extra: command", f'Requires-Dist: {COMMAND_NAME}=={version()}; extra == "command"']
    return core_metadata(project, project["name"], project["description"], extra, ROOT / project["readme"])


def core_metadata(project, name, summary, extra, readme):
    """Returns the core metadata of a package of this project."""
    several = {
        "License-File": project["license-files"],
        "Classifier": project["classifiers"],
        "Project-URL": [f"{label}, {url}" for label, url in table("project.urls").items()],
    }
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {name}",
        f"Version: {version()}",
        f"Summary: {summary}",
        f"Keywords: {','.join(project['keywords'])}",
        f"License-Expression: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"{field}: {value}" for field, values in several.items() for value in values),
        *extra,
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(lines) + "\n\n" + readme.read_text(encoding="utf-8")


# Wheels contain the code of others, source distributions do not.
THIRD_PARTY = ("\nRequires-Python:", "\nLicense-File: THIRD-PARTY.txt\nRequires-Python:")


def third_party(features):
    """Returns the licences of the code of others that a build with these features contains."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "THIRD-PARTY.txt"
        target = os.environ.get("RUST_TARGET")
        options = ["--features", features, *(["--target", target] if target else [])]
        run([sys.executable, str(ROOT / "packaging" / "third_party.py"), "licenses", str(path), *options])
        return path.read_bytes()


def wheel(package, target):
    """Writes the wheel of a package."""
    files = {
        str(Path("st_secrets") / path.relative_to(package)): path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return package_wheel(files, package, target)


def package_wheel(files, package, target):
    """Writes a wheel with these files of the package."""
    tag = f"cp310-abi3-{platform(package / '_native.abi3.so')}"
    return write_wheel("st_secrets", tag, files, (metadata(), "wiping-allocator"), target)


def command_wheel(target):
    """Writes the wheel of the program, which pip installs into the directory of programs."""
    if not COMMAND.exists():
        sys.exit(f"{COMMAND} is missing: run make command")
    name = COMMAND_NAME.replace("-", "_")
    files = {f"{name}-{version()}.data/scripts/{COMMAND.name}": COMMAND.read_bytes()}
    summary = "The program st-secrets, which passes secrets to commands"
    text = core_metadata(table("project"), COMMAND_NAME, summary, [], ROOT / "docs" / "command.md")
    return write_wheel(name, f"py3-none-{platform(COMMAND)}", files, (text, "command"), target)


def write_wheel(name, tag, files, described, target):
    """Writes a wheel. It is reproducible: equal files give equal bytes. `described` is the metadata, and the features
    of the library in it."""
    text, features = described
    info = f"{name}-{version()}.dist-info"
    for license in ("LICENSE-MIT", "LICENSE-APACHE"):
        files[f"{info}/licenses/{license}"] = (ROOT / license).read_bytes()
    files[f"{info}/licenses/THIRD-PARTY.txt"] = third_party(features)
    files[f"{info}/METADATA"] = text.replace(*THIRD_PARTY).encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: st-secrets\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob(f"{name}-*.whl"):
        old.unlink()
    wheel_path = target / f"{name}-{version()}-{tag}.whl"
    with zipfile.ZipFile(wheel_path, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if path.endswith((".so", COMMAND.name)) else 0o100644) << 16
            archive.writestr(entry, data)
    return wheel_path


def install(target):
    """Puts the package and its metadata into a directory of packages."""
    package = build(BUILD / "python")
    shutil.copytree(package, target / "st_secrets", ignore=shutil.ignore_patterns("__pycache__"))
    info = target / f"st_secrets-{version()}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(metadata(), encoding="utf-8")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    if sys.argv[1] == "--installed":
        install(Path(sys.argv[2]))
        return
    if sys.argv[1] == "--command":
        print(command_wheel(Path(sys.argv[2])))
        return
    package = build(Path(sys.argv[1]))
    print(wheel(package, Path(sys.argv[2])) if len(sys.argv) == 3 else package)


if __name__ == "__main__":
    main()
