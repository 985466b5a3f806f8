"""Builds the sdist and from it the wheel, installs the wheel beside nothing but what it requires, and uses it there.

  python tools/wheel.py           everything but speed
  python tools/wheel.py --speed   in addition, a streamed frame of the wheel against that of this clone

The required packages are not downloaded again: they are linked one by one from this environment, so that nbdev,
Jupyter, Gradio and all other packages of this environment are absent there. So is a C compiler.
"""
import os
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
ABSENT = "nbdev", "fastcore", "execnb", "IPython", "jupyterlab", "ipywidgets", "gradio", "matplotlib", "pesq"
TAG, PURE_TAG = "py3-none-linux_x86_64", "py3-none-any"
LICENCES, EXPRESSION = ("LICENSE", "LICENSES.md", "NOTICE"), "Apache-2.0 AND LicenseRef-CC-BY-SA"
NAME = re.compile(r"[\w.-]+")
MAKE = """
import torch
from chinese_mimi.audio import write
from chinese_mimi.codec import Mimi
from chinese_mimi.config import preset
small = preset("demo")
small.sample_rate, small.seanet.strides = 24000, [8, 6, 5, 4]  # a shape for every version of transformers allowed here
Mimi(small).save_pretrained("model")
write("a.wav", torch.randn(1, 16000)*0.1, 16000)
"""
USE = (
    "reconstruct a.wav --model model --out reconstructions",
    "encode a.wav a.cmimi --model model",
    "decode a.cmimi b.wav --model model",
    "convert model converted --to transformers",
    "check model",
)
TOKENS = """
import sys, torch
from chinese_mimi import kernels
from chinese_mimi.codec import Mimi
from chinese_mimi.config import preset
from chinese_mimi.network import random_weights_
codec = random_weights_(Mimi(preset("mimi-16khz")))
wav = torch.randn(1, 1, 1280*30, generator=torch.Generator().manual_seed(0))*0.1
codes = codec.encode(wav, compile=True)
torch.save((codes, codec.decode(codes, compile=True)), sys.argv[1])
print(kernels.prebuilt())
"""
COMPARE = """
import torch
(codes, wav), (codes2, wav2) = torch.load("clone.pt"), torch.load("wheel.pt")
assert torch.equal(codes, codes2), f"{(codes != codes2).sum()} of {codes.numel()} tokens differ"
print(f"{codes.numel()} tokens equal, waveforms within {(wav - wav2).abs().max()/wav.abs().max():.0e} of the peak")
"""
SPEED = """
import statistics, time, torch
from chinese_mimi.codec import Mimi
from chinese_mimi.config import preset
from chinese_mimi.network import random_weights_
codec = random_weights_(Mimi(preset("mimi-24khz")))
encode, decode = codec.streaming_encoder(compile=True), codec.streaming_decoder(compile=True)
times = []
for frame in (torch.randn(1, 1, 1920*150)*0.1).split(1920, -1):
    start = time.perf_counter()
    decode(encode(frame))
    times.append(time.perf_counter() - start)
print(1000*statistics.median(times[20:]))
"""


def call(*command, **options):
    "Run a command and return its output. Where it fails, the script ends with that output."
    command = [str(c) for c in command]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if run.returncode: sys.exit(f"{' '.join(command)}: exit code {run.returncode}\n{run.stdout}")
    return run.stdout.strip()


def required(names):
    "The distributions that `names` need, they themselves included, extras left out: {name: distribution}."
    needed, todo = {}, list(names)
    while todo:
        name = NAME.match(todo.pop())[0].lower().replace("_", "-")
        if name in needed: continue
        try: needed[name] = distribution(name)
        except PackageNotFoundError: continue  # for another system or Python
        todo += [r for r in needed[name].requires or () if "extra ==" not in r]
    return needed


def link(packages, site):
    "Link the files of distributions into the site-packages `site`."
    for d in packages:
        for top in {f.parts[0] for f in d.files if f.parts[0] not in ("..", "__pycache__")}:
            if not (site/top).exists(): (site/top).symlink_to(d.locate_file(top))


class Workplace:
    "A temporary folder with the wheel in an environment of its own, which has no compiler."
    def __init__(self, folder):
        self.folder, self.venv = Path(folder), Path(folder)/"venv"
        self.python, self.tool = self.venv/"bin"/"python", self.venv/"bin"/"chinese-mimi"
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "CC"}
        self.env = {**env, "XDG_CACHE_HOME": str(self.folder/"cache")}
        self.without_compiler = {**self.env, "PATH": str(self.venv/"bin")}

    def run(self, *command):
        "Run a command in the environment of the wheel."
        return call(*command, cwd=self.folder, env=self.without_compiler)

    def run_clone(self, *arguments):
        "Run Python with this clone's package, which compiles for this processor."
        return call(sys.executable, *arguments, cwd=self.folder, env={**self.env, "PYTHONPATH": str(ROOT)})


def build(place):
    "Build the sdist and from it the wheel, which carries the C; the wheel's path."
    dist = place.folder/"dist"
    call(sys.executable, "-m", "build", "--outdir", dist, ROOT, env=place.env)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    print(f"built {sdist.name} and {wheel.name} ({wheel.stat().st_size/1e6:.2f} MB)")
    if not wheel.stem.endswith(TAG): sys.exit(f"the wheel's tag is not {TAG}")
    return wheel


def build_pure(place):
    "Build without a compiler: a pure wheel, which says so."
    env = {**place.env, "PATH": str(place.folder/"empty")}
    sdist = next((place.folder/"dist").glob("*.tar.gz"))
    call("tar", "xf", sdist, "-C", place.folder)
    source = place.folder/sdist.name.removesuffix(".tar.gz")
    out = call(sys.executable, "-m", "build", "--wheel", "--outdir", place.folder/"pure", source, env=env)
    (wheel,) = (place.folder/"pure").glob("*.whl")
    line = next((line for line in out.splitlines() if "a pure wheel" in line), "")
    print(f"built {wheel.name}: {line}")
    if not wheel.stem.endswith(PURE_TAG): sys.exit(f"without a compiler the wheel's tag is not {PURE_TAG}")
    if not line: sys.exit("without a compiler the build does not say that the wheel is pure")


def install(place, wheel):
    "Install the wheel and link its requirements; the number of packages linked."
    call(sys.executable, "-m", "venv", place.venv)
    place.run(place.python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place.venv), "platbase": str(place.venv)}))
    (package,) = distributions(name="chinese-mimi", path=[str(site)])
    needs = required(r for r in package.requires if "extra ==" not in r)
    link(needs.values(), site)
    present = place.run(place.python, "-c",
                        f"from importlib.util import find_spec; print([m for m in {ABSENT} if find_spec(m)])")
    if present != "[]": sys.exit(f"these packages ought to be absent: {present}")
    return len(needs)


def check_licences(wheel):
    "The wheel holds every licence, and its metadata names that of the code and that of the weights."
    with ZipFile(wheel) as archive:
        held = {Path(name).name for name in archive.namelist() if "/licenses/" in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    if missing := set(LICENCES) - held: sys.exit(f"the wheel lacks {', '.join(sorted(missing))}")
    if f"License-Expression: {EXPRESSION}" not in text: sys.exit(f"the wheel's licence is not {EXPRESSION}")
    print(f"licences: {EXPRESSION}; {', '.join(LICENCES)}")


def check_import(place, packages):
    "`import chinese_mimi` takes at most 0.2 s."
    timed = "import time; t = time.perf_counter(); import chinese_mimi; print(time.perf_counter() - t)"
    seconds = max(float(place.run(place.python, "-c", timed)) for _ in range(3))
    print(f"import chinese_mimi: {seconds*1000:.0f} ms, with {packages} packages around it")
    if seconds > 0.2: sys.exit("that is over 0.2 s")


def check_library(place):
    "The wheel uses the prebuilt library, compiles nothing, and gives the tokens of the clone's library."
    library = Path(place.run(place.python, "-c", TOKENS, "wheel.pt"))
    if place.venv not in library.parents: sys.exit(f"the wheel does not use its prebuilt library, but {library}")
    if (place.folder/"cache").exists(): sys.exit("the wheel has compiled, although it has a prebuilt library")
    if place.run_clone("-c", TOKENS, "clone.pt") != "None": sys.exit("the clone does not compile for itself")
    print(f"{library.name}: {place.run(place.python, '-c', COMPARE)}")


def check_commands(place):
    "Run the commands that need nothing but the required packages."
    print(place.run(place.tool, "--version"))
    place.run(place.tool, "--help")
    place.run(place.python, "-c", MAKE)
    for line in USE: print(f"chinese-mimi {line}: {place.run(place.tool, *line.split()).splitlines()[-1]}")


def compare_speed(place):
    "Time a streamed frame, to tokens and back, in the wheel and the clone by turns: the wheel may be 10 % slower."
    pairs = [(float(place.run(place.python, "-c", SPEED)), float(place.run_clone("-c", SPEED))) for _ in range(5)]
    wheel, clone = (statistics.median(times) for times in zip(*pairs))
    print(f"a streamed frame: wheel {wheel:.2f} ms, clone {clone:.2f} ms, {wheel/clone - 1:+.1%}")
    if wheel > 1.1*clone: sys.exit("the wheel is more than 10 % slower")


def main(arguments):
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(folder)
        wheel = build(place)
        check_licences(wheel)
        packages = install(place, wheel)
        build_pure(place)
        check_import(place, packages)
        check_library(place)
        check_commands(place)
        if "--speed" in arguments: compare_speed(place)


if __name__ == "__main__": main(sys.argv[1:])
