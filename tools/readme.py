"""Makes README.md from nbs/index.ipynb, without hidden cells and directives, with links from the top folder."""
import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parent.parent


def at_top(text):
    "Markdown whose relative links and pictures were written in nbs/, for one folder up."
    text = re.sub(r"(\]\(|src=\")(?!https?:|#|\.\./|/)", r"\1nbs/", text)
    return re.sub(r"(\]\(|src=\")\.\./", r"\1", text)


def readme(nb):
    "The notebook `nb` as Markdown."
    nb.cells = [c for c in nb.cells if not re.match(r"#\s*\|\s*hide", c.source)]
    for c in nb.cells:
        if c.cell_type == "markdown": c.source = at_top(c.source)
        else: c.source = re.sub(r"(?m)^#\s*\|.*\n?", "", c.source)
    nb.metadata["language_info"] = {"name": "python"}  # nbdev_clean removes it; the code fences need it
    text, _ = MarkdownExporter().from_notebook_node(nb)
    return re.sub(r"(?m)[ \t]+$", "", re.sub(r"\n{3,}", "\n\n", text)).strip() + "\n"


if __name__ == "__main__":
    (ROOT/"README.md").write_text(readme(nbformat.read(ROOT/"nbs"/"index.ipynb", 4)), encoding="utf-8")
