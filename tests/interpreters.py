"""The interpreters of this machine, and how to get the two that matter most."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

OLDEST = (3, 9)
NEWEST = (3, 14)
DEBIAN_SUITES = {OLDEST: "bullseye", NEWEST: "sid"}
"""Where Debian has an interpreter that this machine may not have."""

Version = tuple[int, int]


def found() -> dict[Version, Path]:
    """Return the CPython interpreters on the path and of pyenv, by version."""
    versions = ((3, minor) for minor in range(OLDEST[1], NEWEST[1] + 1))
    candidates = {version: _first_that_runs(version) for version in versions}
    return {version: path for version, path in candidates.items() if path}


def unpacked(version: Version, folder: Path, patchelf: Path) -> Path | None:
    """Return an interpreter of another Debian release, unpacked beside the system.

    Args:
        version: One of `DEBIAN_SUITES`.
        folder: Where it lies, or will lie; nothing else of the system is changed.
        patchelf: The program that lets it find the libraries it came with.

    Returns:
        The interpreter, or ``None`` where Debian's packages cannot be had.
    """
    name = _name(version)
    interpreter = folder / "usr/bin" / name
    if not _runs(interpreter, version) and shutil.which("apt-get"):
        print(f"== unpacking {name} of Debian {DEBIAN_SUITES[version]}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _download(name, DEBIAN_SUITES[version], folder)
            _use_own_libraries(interpreter, folder, patchelf)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"== it cannot be had: {error}", flush=True)
    return interpreter if _runs(interpreter, version) else None


def _name(version: Version) -> str:
    return "python{}.{}".format(*version)


def _first_that_runs(version: Version) -> Path | None:
    name = _name(version)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    # pyenv's own programs on the path run only the versions that are switched on.
    on_path = [shutil.which(name), *sorted(pyenv.glob(f"versions/*/bin/{name}"))]
    return next((Path(each) for each in on_path if each and _runs(each, version)), None)


def _runs(interpreter: str | Path, version: Version) -> bool:
    """Whether it is a CPython of that version, with what virtual environments need."""
    code = "import ssl, sqlite3, sys; print(sys.implementation.name, sys.version)"
    try:
        told = subprocess.run(
            [interpreter, "-c", code], capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    return told.stdout.startswith("cpython {}.{}.".format(*version))


def _download(name: str, suite: str, folder: Path) -> None:
    apt = folder / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb {_mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": apt / "lists",
        "Dir::State::Status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Install-Recommends": "false",
    }
    apt_get = ["apt-get", "-q", "-y"]
    for setting, value in settings.items():
        apt_get += ["-o", f"{setting}={value}"]
    _quietly(*apt_get, "update")
    _quietly(*apt_get, "--download-only", "install", name)
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        _quietly("dpkg", "-x", str(package), str(folder))
    shutil.rmtree(apt)


def _mirror() -> str:
    """Return where this machine gets Debian's packages from."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    sites = [site for site in told.stdout.split() if "security" not in site]
    if not sites:
        raise FileNotFoundError("apt-get knows no site of Debian's packages")
    return sites[0]


def _use_own_libraries(interpreter: Path, folder: Path, patchelf: Path) -> None:
    """Let the program start by the loader, and with the libraries, it came with."""
    libraries = folder / "usr/lib" / f"{platform.machine()}-linux-gnu"
    loader = next(folder.glob("**/ld-linux*.so*"), None)
    if loader is None:
        raise FileNotFoundError("the packages hold no loader")
    places = f"{libraries}:{folder}/lib/{libraries.name}"
    _quietly(str(patchelf), "--set-interpreter", str(loader), str(interpreter))
    _quietly(str(patchelf), "--force-rpath", "--set-rpath", places, str(interpreter))


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
