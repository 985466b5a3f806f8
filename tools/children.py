"""Processes that the tests start: none waits for ever, and what it said is shown where something goes wrong."""
import os, signal, subprocess, sys, tempfile, time


class Child:
    "A process in a group of its own, with one thread."
    def __init__(self, *command, **environment):
        self.out, self.err = (tempfile.TemporaryFile("w+", errors="replace") for _ in range(2))
        env = os.environ | dict(OMP_NUM_THREADS="1") | environment
        self.process = subprocess.Popen(list(map(str, command)), stdout=self.out, stderr=self.err, env=env,
                                        start_new_session=True)

    def _said(self, file):
        file.seek(0)
        return file.read()

    def kill(self, number=signal.SIGKILL):
        "Send a signal to the whole group."
        try: os.killpg(self.process.pid, number)
        except ProcessLookupError: pass

    def _fail(self, reason):
        self.kill()
        self.process.wait()
        raise AssertionError(f"{reason}\n{self._said(self.out)}\n{self._said(self.err)}")

    def until(self, condition, seconds=300):
        "Wait until `condition()`; fails where the process ends before, or it takes longer."
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None: self._fail(f"ended with code {self.process.returncode}")
            if time.monotonic() > end: self._fail(f"not within {seconds} s")
            time.sleep(.02)

    def wait(self, seconds=300) -> tuple:
        "(exit code, what it printed, its messages); fails where it takes longer."
        try: code = self.process.wait(seconds)
        except subprocess.TimeoutExpired: self._fail(f"not within {seconds} s")
        return code, self._said(self.out), self._said(self.err)


def torchrun(*words, options=("--standalone", "--nproc_per_node=2")) -> Child:
    "Two ranks on this machine, as anyone would start them."
    return Child(sys.executable, "-m", "torch.distributed.run", *options, *words)
