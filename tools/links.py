"""Keeps what leads from one notebook to the next: a line at the end of each, and a cell that installs the package on
Colab."""
import json, re
from configparser import ConfigParser
from pathlib import Path

from execnb.nbio import write_nb

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ConfigParser()
SETTINGS.read(ROOT/"settings.ini", encoding="utf-8")
PROJECT = SETTINGS["DEFAULT"]
INSTALL, NEXT = "install-on-colab", "where-next"   # ids of the two cells


def title(nb):
    "The heading of a notebook."
    return re.search(r"^# (.*)", "".join(nb["cells"][0]["source"]), re.M)[1]


def install_cell():
    "On Colab a clone of the repository, and the folder of the notebooks; elsewhere nothing."
    source = f"""#| eval: false
#| hide
import sys
if "google.colab" in sys.modules:
    !git clone --depth 1 --branch {PROJECT["branch"]} {PROJECT["git_url"]}
    %cd {PROJECT["repo"]}/{PROJECT["nbs_path"]}
    %pip install -q "..[dev]\""""
    return dict(cell_type="code", id=INSTALL, execution_count=None, metadata={}, outputs=[], source=lines(source))


def next_cell(path, before, after):
    "Links to the notebook before and after, each (path, title) or None, and to this one on Colab."
    page = PROJECT["git_url"].replace("https://github.com", "https://colab.research.google.com/github")
    links = [f"[← {before[1]}]({before[0].name})"] if before else []
    links += [f"[{after[1]} →]({after[0].name})"] if after else []
    links.append(f"[open in Colab]({page}/blob/{PROJECT['branch']}/{PROJECT['nbs_path']}/{path.name})")
    return dict(cell_type="markdown", id=NEXT, metadata={}, source=lines(" · ".join(links)))


def lines(source): return source.splitlines(keepends=True)


def linked(nb, path, before, after):
    "The notebook with both cells in their places."
    cells = [c for c in nb["cells"] if c["id"] not in (INSTALL, NEXT)]
    return nb | dict(cells=[cells[0], install_cell(), *cells[1:], next_cell(path, before, after)])


if __name__ == "__main__":
    paths = sorted((ROOT/PROJECT["nbs_path"]).glob("[0-9]*.ipynb"))
    books = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    named = [(path, title(nb)) for path, nb in zip(paths, books)]
    for nb, (path, _), before, after in zip(books, named, [None, *named], [*named[1:], None]):
        write_nb(linked(nb, path, before, after), path)
