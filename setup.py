"""Builds the package from settings.ini, the one place for its metadata.

A wheel for Linux x86-64 carries the C of chinese_mimi/csrc compiled for two levels of processors. Where that cannot be
done, the wheel is pure: it computes in PyTorch, or compiles the C when it is first used.
"""
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from functools import cache
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

try: from setuptools.command.bdist_wheel import bdist_wheel
except ImportError: from wheel.bdist_wheel import bdist_wheel   # setuptools before 70.1

here = Path(__file__).resolve().parent
CSRC = here/"chinese_mimi"/"csrc"
LEVELS = "x86-64-v3", "x86-64-v4"


def compile_level(compiler, level, folder):
    "The library for a level of x86-64, followed by its SHA-256, as chinese_mimi.kernels expects it"
    path = Path(folder)/"libmimi.so"
    command = [*compiler.split(), f"@{CSRC/'flags.txt'}", f"-march={level}", "-o", str(path), str(CSRC/"mimi.c"), "-lm"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    data = path.read_bytes()
    return data + hashlib.sha256(data).digest()


@cache
def libraries():
    "The library for each level; none, and a line that gives the reason, where the wheel has to be pure"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 1 << 32:
        return pure("the C is prebuilt for Linux x86-64 only")
    if compiler is None: return pure("there is no C compiler")
    try:
        with tempfile.TemporaryDirectory() as folder:
            return {level: compile_level(compiler, level, folder) for level in LEVELS}
    except (OSError, subprocess.CalledProcessError) as e:
        lines = (getattr(e, "stderr", "") or str(e)).splitlines()
        return pure(next((line for line in lines if "error" in line), str(e)))


def pure(reason):
    "No libraries; says so"
    print(f"chinese-mimi: a pure wheel, without the compiled C: {reason}", flush=True)
    return {}


class BuildPackage(build_py):
    "Puts the libraries beside the C; not into a source tree that is installed editable, which compiles for itself"
    def run(self):
        super().run()
        if self.editable_mode: return
        folder = Path(self.build_lib)/"chinese_mimi"/"csrc"/"lib"
        shutil.rmtree(folder, ignore_errors=True)   # of an earlier build
        for level, data in libraries().items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder/f"libmimi-{level}.so").write_bytes(data)


class BuildWheel(bdist_wheel):
    "Tags a wheel that holds libraries for Linux x86-64, and for any Python 3, since they do not depend on Python"
    def finalize_options(self):
        super().finalize_options()
        self.editable = "editable_wheel" in self.distribution.commands
        if not self.editable: self.root_is_pure = not libraries()

    def get_tag(self):
        if self.editable or not libraries(): return super().get_tag()
        return "py3", "none", "linux_x86_64"


config = ConfigParser(delimiters=["="], interpolation=None)
config.read(here/"settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]
extras = {key.removesuffix("_requirements"): cfg[key].split() for key in cfg if key.endswith("_requirements")}
extras["dev"] = sorted({r for name, reqs in extras.items() if name != "flash" for r in reqs})

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    keywords=cfg["keywords"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"].replace("%(user)s", cfg["user"]).replace("%(repo)s", cfg["repo"]),
    license_expression="Apache-2.0 AND LicenseRef-CC-BY-SA",  # code, and shipped weights
    license_files=["LICENSE", "LICENSES.md", "NOTICE"],
    long_description=(here/"README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["chinese_mimi", "chinese_mimi.*"]),
    include_package_data=True,
    package_data={"chinese_mimi": ["csrc/*", "assets/**/*", "assets/*"]},
    cmdclass=dict(build_py=BuildPackage, bdist_wheel=BuildWheel),
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    zip_safe=False,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
    ],
)
