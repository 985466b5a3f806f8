"""What a training run holds and waits for, with a made-up manifest of many rows against one of 1,000: python tools/scale.py 5000000 [FOLDER]

FOLDER keeps the manifests for another time. All rows name one short file, and all features lie in one shard, so that the loader really reads while the disk need not hold ten thousand hours."""
import json, os, shutil, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import torch
from chinese_mimi.audio import write
from chinese_mimi.config import preset
from chinese_mimi.manifest import check_manifest, read_manifest
from chinese_mimi.segments import SegmentDataset, TiledSampler, loader
from chinese_mimi.teacher import _ENTRY, _digest, FeatureStore

WORKERS, STEPS, BATCH, DIM = 4, 60, 16, 1024


def make(folder, n):
    "A manifest of n rows as `prepare` writes them, its index, and a store of features for it"
    write(folder/"noise.wav", .1*torch.randn(1, 16000*11), 16000)
    seconds = 3 + np.random.default_rng(0).integers(0, 800, n)/100
    with open(folder/"train.jsonl", "w", encoding="utf-8") as f:
        for i, s in enumerate(seconds):
            uid = f"X{i % 10:010d}_{i//3:08d}_S{i % 97:05d}-S{i:08d}"
            f.write(json.dumps(dict(id=uid, path=str(folder/"noise.wav"), duration=s, sample_rate=16000, recording=uid[:20], text="今天天气很好我们一起去公园散步吧", subset="Basic", dnsmos=3.9,
                                    place=f"WenetSpeech4TTS_Basic_{i//40000}/wavs/{uid}.wav"), ensure_ascii=False) + "\n")
    began = time.perf_counter()
    rows = read_manifest(folder/"train.jsonl")
    print(f"{n} rows made, {os.path.getsize(folder/'train.jsonl')/1e6:.0f} MB: index of a manifest from elsewhere {time.perf_counter() - began:.1f} s ({os.cpu_count()} cores)")
    index = np.zeros(n, _ENTRY)
    index["key"], index["frames"] = rows.keys, np.ceil(seconds*12.5 - 5e-5)
    np.save(folder/"index.npy", index[np.argsort(index["key"])])
    np.save(folder/"shard_00000.npy", np.zeros((150, DIM), np.float16))
    (folder/"index.json").write_text(json.dumps(dict(teacher="made up", dim=DIM, semantic=False, frame_rate=12.5, failed=[], manifest=_digest(rows))))


def pss(pid):
    "Proportional memory of a process, MB"
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:"))/1e3


def measure(folder):
    "Seconds to open, microseconds a row, MB over trainer and workers, seconds of audio a second"
    began = time.perf_counter()
    rows = read_manifest(folder/"train.jsonl")
    alone = time.perf_counter() - began
    check_manifest(rows)
    cfg = preset("mimi-16khz")
    data, sampler = SegmentDataset(rows, cfg, 4., FeatureStore(folder)), TiledSampler(rows, 50)
    opened = time.perf_counter() - began
    picks = np.random.default_rng(1).integers(len(rows), size=20000).tolist()
    began = time.perf_counter()
    for i in picks: rows[i]
    row = (time.perf_counter() - began)/len(picks)
    began = time.perf_counter()
    for step, batch in enumerate(loader(data, sampler, BATCH, steps=STEPS, workers=WORKERS)):
        if step == STEPS - 5: memory = pss(os.getpid()) + sum(map(pss, open(f"/proc/self/task/{os.getpid()}/children").read().split()))
    speed = STEPS*BATCH*4/(time.perf_counter() - began)
    return dict(manifest=alone, opened=opened, row=1e6*row, memory=memory, speed=speed)


if __name__ == "__main__":
    if sys.argv[1] == "measure": print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        import subprocess
        torch.set_num_threads(1)
        found, base = {}, Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
        for n in 1000, int(sys.argv[1]):
            folder = base/str(n)
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder/"index.json").exists(): make(folder, n)
            found[n] = json.loads(subprocess.run([sys.executable, __file__, "measure", folder], check=True, capture_output=True, text=True, env=os.environ | dict(OMP_NUM_THREADS="1")).stdout)
            m = found[n]
            print(f"{n} rows: manifest opened in {1e3*m['manifest']:.1f} ms; with its features checked and a sampler {m['opened']:.2f} s; a random row {m['row']:.0f} us; {m['speed']:.0f} s of audio a second from {WORKERS} workers")
        few, many = (m["memory"] for m in found.values())
        print(f"proportional memory of trainer and {WORKERS} workers: {few:.0f} MB and {many:.0f} MB, {many - few:+.0f} MB")
        if len(sys.argv) < 3: shutil.rmtree(base)
