"""Runs notebooks through nbdev_test's own `test_nb`, two at a time; prints time, skipped parts and failures.

    python tools/test.py            all notebooks
    python tools/test.py 10_conv 19 those whose names contain one of the words
"""
import os, signal, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2      # notebooks at once, one thread each
LIMIT = 600      # seconds for one notebook
running = set()  # process ids


def test_one(path):
    "Test one notebook in this process and print its `skipped:` lines. True when it passes."
    from nbdev import test

    class Shell(test.CaptureShell):
        def run(self, *args, **kwargs):
            outputs = super().run(*args, **kwargs)
            text = "".join(line for o in outputs if o["output_type"] == "stream" for line in o["text"])
            for line in text.splitlines():
                if line.startswith("skipped:"): print(line, flush=True)
            if self.exc: print(text, file=sys.stderr)  # what the failing cell had printed
            return outputs

    test.CaptureShell = Shell
    os.chdir(ROOT/"nbs")
    return test.test_nb(Path(path), basepath=ROOT)[0]


def test_in_process(path):
    "Test one notebook in a process of its own, which may crash; (passed, number of skipped parts)."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch: return run_notebook(path, scratch)


def run_notebook(path, scratch):
    "As `test_in_process`, with temporary files in `scratch`."
    start, reason = time.time(), ""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": scratch, "PYTHONFAULTHANDLER": "1"}
    p = subprocess.Popen([sys.executable, __file__, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         errors="replace", start_new_session=True, env=env)
    running.add(p.pid)
    try: out, err = p.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGABRT)  # faulthandler prints what every thread is doing
        time.sleep(2)
        os.killpg(p.pid, signal.SIGKILL)
        out, err = p.communicate()
        reason = f"did not end within {LIMIT} s\n"
    running.discard(p.pid)
    skips = [line for line in out.splitlines() if line.startswith("skipped:")]
    verdict = "FAILED" if p.returncode else "ok"
    print("\n    ".join([f"{Path(path).stem:20} {verdict:7}{time.time() - start:6.1f} s", *skips]), flush=True)
    if p.returncode: print(err + reason or f"ended with code {p.returncode}", flush=True)
    return p.returncode == 0, len(skips)


def main(words):
    "Test the notebooks whose names contain one of `words`, or all; the exit code."
    start, notebooks = time.time(), sorted((ROOT/"nbs").glob("*.ipynb"))
    if words: notebooks = [p for p in notebooks if any(w in p.name for w in words)]
    pool = ThreadPoolExecutor(WORKERS)
    try: results = list(pool.map(test_in_process, map(str, notebooks)))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for pid in list(running): os.killpg(pid, signal.SIGKILL)
        return 130
    passed, seconds = sum(ok for ok, _ in results), round(time.time() - start)
    print(f"{len(notebooks)} notebooks in {seconds//60} min {seconds%60} s")
    print(f"{passed} passed, {len(notebooks) - passed} failed, {sum(n for _, n in results)} skipped")
    return 0 if notebooks and passed == len(notebooks) else 1


if __name__ == "__main__":
    args = sys.argv[1:]
    if len(args) == 1 and args[0].endswith(".ipynb"): sys.exit(not test_one(args[0]))
    sys.exit(main(args))
