"""The memory and the waiting times of a training run, with a made-up manifest of many rows against one of 1,000:

    python tools/scale.py 5000000 [FOLDER]

FOLDER keeps the manifests for another time. All rows name one short file, and all features lie in one shard, so that
the loader really reads while the disk need not hold ten thousand hours."""
import json, os, shutil, subprocess, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import torch
from chinese_mimi.audio import write
from chinese_mimi.config import preset
from chinese_mimi.core import available_cpus
from chinese_mimi.manifest import check_manifest, read_manifest
from chinese_mimi.segments import SegmentDataset, TiledSampler, loader
from chinese_mimi.teacher import INDEX_ENTRY, FeatureStore, manifest_digest

WORKERS, STEPS, BATCH, DIM = 4, 60, 16, 1024


def write_manifest(folder, seconds):
    "A manifest as `prepare` writes it, one row for each duration (s)"
    constant = dict(sample_rate=16000, text="今天天气很好我们一起去公园散步吧", subset="Basic", dnsmos=3.9)
    with open(folder/"train.jsonl", "w", encoding="utf-8") as f:
        for i, s in enumerate(seconds):
            uid = f"X{i % 10:010d}_{i//3:08d}_S{i % 97:05d}-S{i:08d}"
            place = f"WenetSpeech4TTS_Basic_{i//40000}/wavs/{uid}.wav"
            row = dict(id=uid, path=str(folder/"noise.wav"), duration=s, recording=uid[:20], **constant, place=place)
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_features(folder, rows, seconds):
    "A store of features in which all rows share one shard"
    index = np.zeros(len(rows), INDEX_ENTRY)
    index["key"], index["frames"] = rows.keys, np.ceil(seconds*12.5 - 5e-5)
    np.save(folder/"index.npy", index[np.argsort(index["key"])])
    np.save(folder/"shard_00000.npy", np.zeros((150, DIM), np.float16))
    meta = dict(teacher="made up", dim=DIM, semantic=False, frame_rate=12.5, failed=[], manifest=manifest_digest(rows))
    (folder/"index.json").write_text(json.dumps(meta))


def make(folder, n):
    "A manifest of n rows, its index, and a store of features for it"
    write(folder/"noise.wav", .1*torch.randn(1, 16000*11), 16000)
    seconds = 3 + np.random.default_rng(0).integers(0, 800, n)/100
    write_manifest(folder, seconds)
    start = time.perf_counter()
    rows = read_manifest(folder/"train.jsonl")
    elapsed, megabytes = time.perf_counter() - start, os.path.getsize(folder/"train.jsonl")/1e6
    print(f"{n} rows made, {megabytes:.0f} MB: index without `prepare` {elapsed:.1f} s ({available_cpus()} cores)")
    write_features(folder, rows, seconds)


def proportional_memory(pid):
    "MB of a process, shared pages divided among those that share them"
    lines = open(f"/proc/{pid}/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))/1e3


def total_memory():
    "MB of this process and its children"
    children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
    return sum(map(proportional_memory, [os.getpid(), *children]))


def measure_row(rows):
    "Microseconds to read a random row"
    picks = np.random.default_rng(1).integers(len(rows), size=20000).tolist()
    start = time.perf_counter()
    for i in picks: rows[i]
    return 1e6*(time.perf_counter() - start)/len(picks)


def measure(folder):
    "Seconds to open, microseconds a row, MB over trainer and workers, seconds of audio a second"
    start = time.perf_counter()
    rows = read_manifest(folder/"train.jsonl")
    manifest = time.perf_counter() - start
    check_manifest(rows)
    data, sampler = SegmentDataset(rows, preset("mimi-16khz"), 4., FeatureStore(folder)), TiledSampler(rows, 50)
    opened = time.perf_counter() - start
    row = measure_row(rows)
    start = time.perf_counter()
    for step, batch in enumerate(loader(data, sampler, BATCH, steps=STEPS, workers=WORKERS)):
        if step == STEPS - 5: memory = total_memory()
    speed = STEPS*BATCH*4/(time.perf_counter() - start)
    return dict(manifest=manifest, opened=opened, row=row, memory=memory, speed=speed)


def compare(sizes, base):
    "Measure each size in a process of its own, one thread each, and print the results"
    memory = []
    for n in sizes:
        folder = base/str(n)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder/"index.json").exists(): make(folder, n)
        command, env = [sys.executable, __file__, "measure", folder], os.environ | dict(OMP_NUM_THREADS="1")
        m = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout)
        memory.append(m["memory"])
        print(f"{n} rows: manifest opened in {1e3*m['manifest']:.1f} ms; with its features checked and a sampler "
              f"{m['opened']:.2f} s; a random row {m['row']:.0f} us; "
              f"{m['speed']:.0f} s of audio a second from {WORKERS} workers")
    few, many = memory
    print(f"proportional memory of trainer and {WORKERS} workers: {few:.0f} MB and {many:.0f} MB, {many - few:+.0f} MB")


def main(n, folder=None):
    "Compare a manifest of n rows with one of 1,000, in a temporary folder unless one is given"
    torch.set_num_threads(1)
    base = Path(folder or tempfile.mkdtemp())
    compare((1000, int(n)), base)
    if not folder: shutil.rmtree(base)


if __name__ == "__main__":
    if sys.argv[1] == "measure": print(json.dumps(measure(Path(sys.argv[2]))))
    else: main(*sys.argv[1:])
