"""Runs notebooks through nbdev_test's `test_nb`, two at a time; prints time, failures, and what was skipped and why.

    python tools/test.py            all notebooks
    python tools/test.py 10_conv 19 those whose names contain one of the words
    python tools/test.py --corpus   those that read the recorded corpus

A notebook skips a part by printing `skipped: REASON`, for one of three reasons; another one is a failure.
"""
import multiprocessing, os, signal, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2      # notebooks at once, one thread each
LIMIT = 600      # seconds for one notebook
REASONS = "no GPU", "no browser", "no recorded corpus"
CORPUS = "../../shared"  # as a notebook that reads the corpus names it
FORKS = multiprocessing.get_context("forkserver")  # a notebook's process is copied from one that has imported these:
IMPORTED = ["torch", "matplotlib.pyplot", "nbdev.test"]
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
    "Test one notebook in a process of its own, which may crash; (passed, reasons of what it skipped)."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch: return run_notebook(path, scratch)


def enter(path, scratch):
    "What a notebook's process does: its output into files, its temporary files too, in `scratch`."
    os.setsid()
    for stream, name in (sys.stdout, "out"), (sys.stderr, "err"):
        with open(f"{scratch}/{name}", "wb") as f: os.dup2(f.fileno(), stream.fileno())
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    multiprocessing.set_start_method(None, force=True)  # of the notebook itself, not that of FORKS
    sys.exit(not test_one(path))


def kill(pid, signal_number=signal.SIGKILL):
    "Send a signal to a notebook's process and to what it has started, as far as they still run."
    with suppress(ProcessLookupError): os.killpg(pid, signal_number)


def run_notebook(path, scratch):
    "As `test_in_process`, with temporary files in `scratch`."
    start, reason = time.time(), ""
    p = FORKS.Process(target=enter, args=(path, scratch))
    p.start()
    running.add(p.pid)
    p.join(LIMIT)
    if p.exitcode is None:
        kill(p.pid, signal.SIGABRT)  # faulthandler prints what every thread is doing
        p.join(2)
        reason = f"did not end within {LIMIT} s\n"
    kill(p.pid)
    p.join()
    running.discard(p.pid)
    out, err = (Path(scratch, name).read_text(errors="replace") for name in ("out", "err"))
    skips = {line.removeprefix("skipped:").strip() for line in out.splitlines() if line.startswith("skipped:")}
    if p.exitcode: reason = err + reason or f"ended with code {p.exitcode}"
    elif unknown := skips.difference(REASONS): reason = f"skipped for another reason than {REASONS}: {unknown}"
    print(f"{Path(path).stem:20} {'FAILED' if reason else 'ok':7}{time.time() - start:6.1f} s", flush=True)
    if reason: print(reason, flush=True)
    return not reason, skips.intersection(REASONS)


def selected(words):
    "The notebooks whose names contain one of `words`, or all; with `--corpus` those that read the corpus."
    notebooks = sorted((ROOT/"nbs").glob("*.ipynb"))
    if words == ["--corpus"]: return [p for p in notebooks if CORPUS in p.read_text(encoding="utf-8")]
    return [p for p in notebooks if not words or any(w in p.name for w in words)]


def main(words):
    "Test the selected notebooks; the exit code."
    start = time.time()
    notebooks = selected(words)[::-1]  # the long ones first: the last to run then has company
    os.environ |= dict(OMP_NUM_THREADS="1", PYTHONFAULTHANDLER="1")
    FORKS.set_forkserver_preload(IMPORTED)
    pool = ThreadPoolExecutor(WORKERS)
    try: results = list(pool.map(test_in_process, map(str, notebooks)))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for pid in list(running): kill(pid)
        return 130
    passed, seconds = sum(ok for ok, _ in results), round(time.time() - start)
    print(f"{len(notebooks)} notebooks in {seconds//60} min {seconds%60} s")
    for reason in REASONS:
        names = [p.stem for p, (_, skips) in zip(notebooks, results) if reason in skips]
        if names: print(f"parts skipped, {reason}: {' '.join(names)}")
    print(f"{passed} passed, {len(notebooks) - passed} failed, {sum(len(skips) for _, skips in results)} skipped")
    return 0 if notebooks and passed == len(notebooks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
