"""The tokenizer of the package `qwen-tts` on standard input and output, run by another Python: FOLDER THREADS.

A message is a line of JSON (do, shape, dtype) and the bytes of an array; so is the answer. The first answer has the
package's version and no array.
"""
import json, sys
from importlib.metadata import version

messages, answers = sys.stdin.buffer, sys.stdout.buffer
sys.stdout = sys.stderr     # what the packages print must not come between the answers
import numpy as np
import torch
from qwen_tts import Qwen3TTSTokenizer


def send(array, **header):
    header |= dict(shape=array.shape, dtype=str(array.dtype))
    answers.write(json.dumps(header).encode() + b"\n" + array.tobytes())
    answers.flush()


def encode(model, wav):
    "(B, T) -> (B, K, F)"
    codes = model.encode(torch.from_numpy(wav), torch.ones(wav.shape, dtype=torch.long)).audio_codes
    return torch.stack(codes).transpose(1, 2).contiguous()


def decode(model, codes):
    "(B, K, F) -> (B, T)"
    return torch.stack(model.decode(torch.from_numpy(codes).transpose(1, 2)).audio_values)


torch.set_num_threads(int(sys.argv[2]))
model = Qwen3TTSTokenizer.from_pretrained(sys.argv[1], dtype=torch.float32).model.eval()
send(np.zeros(0, "float32"), version=version("qwen-tts"))
while line := messages.readline():
    header = json.loads(line)
    count = int(np.prod(header["shape"]))*np.dtype(header["dtype"]).itemsize
    array = np.frombuffer(messages.read(count), header["dtype"]).reshape(header["shape"]).copy()
    with torch.inference_mode(): send(dict(encode=encode, decode=decode)[header["do"]](model, array).numpy())
