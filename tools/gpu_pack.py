#!/usr/bin/env python3
"""Packs what tools/gpu takes along, unpacks it there, and computes how long it trains.

    gpu_pack.py speech SHARED TAR BYTES   speech of SHARED/corpus in a tar file of at most so many bytes
    gpu_pack.py shrink MODEL FOLDER       a model folder with its weights in 8 bits
    gpu_pack.py restore FOLDER MODEL      the model folder again
    gpu_pack.py halve CHECKPOINT MODEL    the EMA weights in half precision, to be delivered
    gpu_pack.py steps RUN SECONDS         the step that a run reaches if it goes on for so many seconds
    gpu_pack.py batch CONFIG [key=value]  the batch size with which a configuration trains fastest on its GPU
    gpu_pack.py stream CONFIG [key=value] how fast 1 and 64 streams are on its device, as CUDA graphs too
"""
import io
import json
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

SHARES = {  # of the bytes of speech; Mandarin and many voices first
    "kokoro": .25, "aishell1": .2, "hsk": .15, "librispeech": .15, "cmn": .1, "picovoice": .1, "rhasspy": .05,
}
COMPRESSION = .92   # libsndfile's for Opus; gave 25 kbps, the rate of voices.tar, on the words of audio-cmn
VALID_WORDS = 6     # utterances of joined words that are validated on, beside the sentences
STARTUP = 30        # seconds before the first step of a run and after the last


def voices(archive, split):
    "Rows (source, file) of one split of voices.tar, in a random order that is always the same"
    lines = archive.extractfile("list.tsv").read().decode().splitlines()[1:]
    rows = [line.split("\t")[:2] for line in lines]
    files = [file for file, row_split in rows if row_split == split]
    random.Random(0).shuffle(files)
    return [(file.split("/")[0], file) for file in files]


def words(shared, split, folder):
    "The words of audio-cmn joined into utterances: wav files. The syllables, whose licence is in doubt, are left out"
    subprocess.run([sys.executable, shared/"tools"/"make_corpus.py", folder, "--split", split], check=True,
                   stdout=subprocess.DEVNULL)
    files = sorted([*folder.glob("Premium/*/wavs/*.wav"), *folder.glob("Standard/*/wavs/*.wav")])
    random.Random(0).shuffle(files)
    return files


def opus(wav_file):
    "A wav file as Opus in Ogg: its bytes"
    import soundfile as sf
    wav, rate = sf.read(wav_file)
    buffer = io.BytesIO()
    sf.write(buffer, wav, rate, format="OGG", subtype="OPUS", compression_level=COMPRESSION)
    return buffer.getvalue()


def add(tar, name, data):
    "Append a file to a tar archive; the bytes that it takes there"
    entry = tarfile.TarInfo(f"speech/{name}")
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
    return 512 + -(-len(data)//512)*512


def playable(data):
    "Whether soundfile alone can read it: PyAV, which reads the rest, is no wheel that travels"
    import soundfile as sf
    try: return sf.info(io.BytesIO(data)).frames > 0
    except sf.LibsndfileError: return False


def fill(tar, folder, items, room):
    "Append (name, function that returns the bytes) until `room` bytes are used up; the bytes taken"
    used = 0
    for name, load in items:
        if used > room: break
        data = load()
        if playable(data): used += add(tar, f"{folder}/{name}", data)
    return used


def speech(shared, target, size):
    "Training and validation speech, each source with its share, in a tar file of about `size` bytes, not more"
    shared, room = Path(shared), int(size) - 256*1024       # each source may run over by one file
    with tempfile.TemporaryDirectory() as tmp, tarfile.open(shared/"corpus"/"voices.tar") as archive:
        def recorded(split, source):
            return [(f, lambda f=f: archive.extractfile(f).read()) for s, f in voices(archive, split) if s == source]

        def joined(split):
            files = words(shared, split, Path(tmp, split))
            return [(f"cmn/{f.stem}.ogg", lambda f=f: opus(f)) for f in files]

        with tarfile.open(target, "w") as tar:
            room -= fill(tar, "valid", joined("valid")[:VALID_WORDS] + recorded("valid", "hsk"), room)
            for source, share in SHARES.items():
                items = joined("train") if source == "cmn" else recorded("train", source)
                used = fill(tar, "train", items, share*room)
                print(f"{source}: {used/1e6:.1f} MB")


def shrink(model, folder):
    "Matrices and kernels of a model as 8-bit integers with one scale a row, for a start of training only"
    import torch
    from chinese_mimi.weights import load_weights
    from safetensors.torch import save_file
    tensors = {}
    for name, tensor in load_weights(model)[1].items():
        tensor = tensors[name] = tensor.float()
        if tensor.ndim < 2 or tensor.numel() < 4096: continue
        rows = tensor.flatten(1)
        scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-12)/127
        tensors[name] = (rows/scale).round().to(torch.int8).view(tensor.shape)
        tensors[f"{name}.scale"] = scale
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in "config.yaml", "README.md": shutil.copyfile(Path(model, name), Path(folder, name))
    save_file(tensors, Path(folder, "weights.safetensors"))


def restore(folder, model):
    "The folder that `shrink` made as a model folder in float32"
    from chinese_mimi.config import load_codec_config
    from chinese_mimi.weights import save_native
    from safetensors.torch import load_file
    folder = Path(folder)
    packed = load_file(folder/"weights.safetensors")
    scales = {name.removesuffix(".scale"): packed.pop(name) for name in list(packed) if name.endswith(".scale")}
    for name, scale in scales.items():
        rows = packed[name].flatten(1).float()*scale
        packed[name] = rows.view(packed[name].shape)
    card = (folder/"README.md").read_text(encoding="utf-8")
    save_native(model, load_codec_config(folder/"config.yaml"), packed, model_card=card)


def halve(checkpoint, model):
    "A model folder in half precision but for the codebooks, whose sums and counts span more than it holds"
    from chinese_mimi.weights import load_weights, save_native
    from safetensors.torch import save_file
    config, tensors, info = load_weights(checkpoint)
    save_native(model, config, tensors, model_card=info["model_card"])
    tensors = {name: t if "codebooks" in name else t.half() for name, t in tensors.items()}
    save_file(tensors, Path(model, "model.safetensors"), {"format": "pt"})


def steps(run, seconds):
    "Print the step that a run reaches if it goes on for so many seconds at its last speed; nothing without a log"
    from chinese_mimi.config import load_config
    log = Path(run, "log.jsonl")
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    rows = [row for row in rows if "audio_seconds_per_second" in row]
    if not rows: return
    data = load_config(Path(run, "config.yaml")).data
    per_second = rows[-1]["audio_seconds_per_second"]/(data.batch_size*data.segment)
    last = Path(run, "checkpoints", "last")        # the run stopped here, perhaps after its last log
    reached = int(last.read_text().rsplit("_", 1)[1]) if last.is_file() else rows[-1]["step"]
    print(reached + max(1, int(max(0, float(seconds) - STARTUP)*per_second)))


BATCHES = 16, 32, 64, 96, 128   # that are tried on a GPU, until one does not fit or is no faster


def batch(config, *words):
    "Print `data.batch_size=N`, the fastest that fits; nothing where the device is no GPU"
    import torch
    from chinese_mimi.config import load_config
    from chinese_mimi.step_profile import train_speed
    if not torch.cuda.is_available() or "device=cpu" in words: return
    best = speed = 0
    for size in BATCHES:
        cfg = load_config(config, [*words, "init_from=", "discriminator.start=0", "discriminator.warmup=0",
                                   f"data.batch_size={size}"])
        try: now = train_speed(cfg, steps=2)["audio_seconds_per_second"]
        except torch.cuda.OutOfMemoryError: break
        print(f"batch of {size}: {now:.0f} s of audio per second", file=sys.stderr)
        if now < 1.03*speed: break
        best, speed = size, now
    if best: print(f"data.batch_size={best}")


FRAMES = 25   # of each stream that are measured


def graphs(codec, n):
    "Encoder and decoder of n streams as CUDA graphs, all codebooks"
    import torch
    from chinese_mimi.network import CudaGraphStep, decode_step, encode_step, new_decoder_state, new_encoder_state

    def encode(frame, state): return encode_step(codec, frame, state, codec.n_codebooks)

    def decode(codes, state): return decode_step(codec, codes, state)

    frame = torch.zeros(n, 1, codec.frame_size, device=codec.device)
    enc = CudaGraphStep(encode, frame, new_encoder_state(codec, n))
    return enc, CudaGraphStep(decode, enc(frame), new_decoder_state(codec, n))


def median_ms(device, step, inputs):
    "The median time of a step over inputs, one after the other"
    from chinese_mimi.step_profile import timed
    return 1000*statistics.median(timed(device, step, x) for x in inputs)


def stream(config, *words):
    "Print the median time of a frame, encoded and decoded, for 1 and 64 streams; in PyTorch and as CUDA graphs"
    import torch
    from chinese_mimi.codec import Mimi
    from chinese_mimi.config import load_config
    from chinese_mimi.core import pick_device
    from chinese_mimi.network import random_weights_
    cfg = load_config(config, words)
    device, quantizer = pick_device(cfg.device), cfg.model.quantizer
    codec = random_weights_(Mimi(cfg.model)).to(device)
    for n in 1, 64:
        frames = .1*torch.randn(FRAMES, n, 1, codec.frame_size, device=device)
        codes = torch.randint(quantizer.codebook_size, (FRAMES, n, quantizer.n_codebooks, 1), device=device)
        ways = dict(streams=(codec.streaming_encoder(n), codec.streaming_decoder(n)))
        if device.type == "cuda": ways["CUDA graphs"] = graphs(codec, n)
        for way, (enc, dec) in ways.items():
            encode, decode = median_ms(device, enc, frames), median_ms(device, dec, codes)
            both = n*1000*codec.frame_size/codec.sample_rate/(encode + decode)
            print(f"{n} {way} on {device}: {encode:.2f} ms a frame to encode, {decode:.2f} to decode, "
                  f"{both:.0f} times real time in all")


if __name__ == "__main__":
    commands = {f.__name__: f for f in (speech, shrink, restore, halve, steps, batch, stream)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands: sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
