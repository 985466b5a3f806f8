"""Takes out of the stored outputs what depends on the machine that ran a notebook: names of temporary folders, and what
libraries write to stderr or draw as progress. Joins what was printed in several pieces."""
import json, re
from pathlib import Path

from execnb.nbio import write_nb

ROOT = Path(__file__).resolve().parent.parent
TEMPORARY = re.compile(r"/tmp/tmp\w{8}\b")
NOISE = re.compile(r".*Warning: .*\n(  .*\n?)?"
                   r"|.*(gpuGetDeviceCount|No CUDA runtime|mpg123|TensorFlow restart).*\n?|Note: .*\n?")


def tidy(output):
    "The output without them, None where nothing is left."
    if re.search(r"\d%\|", "".join(output.get("data", {}).get("text/plain", []))): return None
    if output["output_type"] != "stream": return output
    text = TEMPORARY.sub("…", "".join(output["text"]))
    if output["name"] == "stderr": text = NOISE.sub("", text)
    return output | dict(text=text.splitlines(keepends=True)) if text.strip() else None


def joined(outputs):
    "The outputs, text that follows on text of the same stream as one of them."
    result = []
    for output in outputs:
        last = result[-1] if result else {}
        if output["output_type"] == "stream" and output["name"] == last.get("name"): last["text"] += output["text"]
        else: result.append(output)
    return result


if __name__ == "__main__":
    for path in sorted((ROOT/"nbs").glob("*.ipynb")):
        nb = json.loads(path.read_text(encoding="utf-8"))
        for cell in nb["cells"]:
            if "outputs" in cell: cell["outputs"] = joined([o for o in map(tidy, cell["outputs"]) if o])
        write_nb(nb, path)
