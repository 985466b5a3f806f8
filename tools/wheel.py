"""Builds the sdist and from it the wheel, installs the wheel beside nothing but what it requires, and uses it there.

The required packages are not downloaded again: they are linked one by one from this environment, so that nbdev, Jupyter, Gradio
and everything else that is installed here is truly absent there.
"""
import os, re, subprocess, sys, sysconfig, tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ABSENT = "nbdev", "fastcore", "execnb", "IPython", "jupyterlab", "ipywidgets", "gradio", "matplotlib", "pesq"
MAKE = """
import torch
from chinese_mimi.audio import write
from chinese_mimi.codec import Mimi
from chinese_mimi.config import preset
small = preset("demo")
small.sample_rate, small.seanet.strides = 24000, [8, 6, 5, 4]  # a shape that every transformers of our range can hold
Mimi(small).save_pretrained("model")
write("a.wav", torch.randn(1, 16000)*0.1, 16000)
"""
USE = ("reconstruct a.wav --model model --out heard", "encode a.wav a.cmimi --model model", "decode a.cmimi b.wav --model model",
       "convert model peer --to transformers", "check model")
NAME = re.compile(r"[\w.-]+")


def call(*cmd, **kw):
    "Run a command; what it printed. Ends the script with that where it fails."
    r = subprocess.run([str(c) for c in cmd], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if r.returncode: sys.exit(f"{' '.join(map(str, cmd))}: exit code {r.returncode}\n{r.stdout}")
    return r.stdout


def required(names):
    "The distributions that `names` need, they themselves included, extras left out."
    found, todo = {}, list(names)
    while todo:
        name = NAME.match(todo.pop())[0].lower().replace("_", "-")
        if name in found: continue
        try: found[name] = distribution(name)
        except PackageNotFoundError: continue  # for another system or Python
        todo += [r for r in found[name].requires or () if "extra ==" not in r]
    return found


def link(dists, site):
    "Link the files of `dists` into the site-packages `site`"
    for d in dists:
        for top in {f.parts[0] for f in d.files if f.parts[0] not in ("..", "__pycache__")}:
            if not (site/top).exists(): (site/top).symlink_to(d.locate_file(top))


def main():
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        run = lambda *cmd: call(*cmd, cwd=tmp, env=env).strip()
        run(sys.executable, "-m", "build", "--outdir", tmp/"dist", ROOT)
        (wheel,), (sdist,) = tmp.glob("dist/*.whl"), tmp.glob("dist/*.tar.gz")
        print(f"built {sdist.name} and {wheel.name} ({wheel.stat().st_size/1e6:.2f} MB)")
        run(sys.executable, "-m", "venv", tmp/"venv")
        py, tool = tmp/"venv"/"bin"/"python", tmp/"venv"/"bin"/"chinese-mimi"
        run(py, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp/"venv"), "platbase": str(tmp/"venv")}))
        needs = required(r for r in distribution("chinese-mimi").requires if "extra ==" not in r)
        link(needs.values(), site)
        there = run(py, "-c", f"from importlib.util import find_spec; print([m for m in {ABSENT} if find_spec(m)])")
        if there != "[]": sys.exit(f"this was to be absent: {there}")
        timed = "import time; t = time.perf_counter(); import chinese_mimi; print(time.perf_counter() - t)"
        seconds = max(float(run(py, "-c", timed)) for _ in range(3))
        print(f"import chinese_mimi: {seconds*1000:.0f} ms, with {len(needs)} packages around it")
        if seconds > 0.2: sys.exit("that is over 0.2 s")
        print(run(tool, "--version"))
        run(tool, "--help")
        run(py, "-c", MAKE)
        for line in USE: print(f"chinese-mimi {line}: {run(tool, *line.split()).splitlines()[-1]}")


if __name__ == "__main__": main()
