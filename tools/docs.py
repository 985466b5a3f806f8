"""The site for `make docs`, in _docs: nbdev adds the signatures of what the notebooks export; Quarto renders them, or,
where it is not installed, nbconvert, with a list of all notebooks on each page."""
import re, shutil, subprocess
from pathlib import Path

import yaml
from execnb.nbio import mk_cell, read_nb, write_nb
from nbdev.config import get_config
from nbdev.processors import FilterDefaults, _is_showdoc, exec_show_docs
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml

TOOLS = Path(__file__).resolve().parent

class show_docs(exec_show_docs):
    "Runs only the cells that show a signature: the outputs of the others are stored in the notebook"
    def begin(self):
        super().begin()
        modules = [c.directives_["default_exp"][0] for c in self.nb.cells if "default_exp" in c.directives_]
        for m in modules: self.k.run_cell(f"from {get_config().lib_path.name}.{m} import *")

    def __call__(self, cell):
        if _is_showdoc(cell): super().__call__(cell)

class Site(FilterDefaults):
    def base_procs(self): return [show_docs if p is exec_show_docs else p for p in super().base_procs()]

def with_introduction(nb):
    "The notebook with what follows the title and its quote in a cell of its own; nbdev would drop it"
    head, _, rest = nb.cells[0].source.partition("\n\n")
    nb.cells[0].source = head
    if rest: nb.cells.insert(1, mk_cell(rest, "markdown"))
    for i, cell in enumerate(nb.cells): cell.idx_ = i
    return nb

def lay_out(source, out):
    "The notebooks of `source` as Quarto reads them, and the files beside them"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("*.ipynb", ".*"))
    for path in sorted(source.glob("*.ipynb")):
        site = Site().nb_proc(with_introduction(read_nb(path)))
        site.process()
        write_nb(site.nb, out/path.name)

def render_by_quarto(source, out):
    subprocess.run(["quarto", "render", "--no-cache"], cwd=source, check=True)
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(source/out.name, out)

def without_front_matter(nb):
    "The title of a notebook that is laid out; its first cell becomes a heading again"
    fields = yaml.safe_load(nb.cells[0].source.strip().strip("-"))
    nb.cells[0].source = f"# {fields['title']}\n\n> {fields.get('description', '')}"
    nb.cells[0].cell_type = "markdown"
    return fields["title"]

def prepare(cell):
    "Make a cell one of a page: links lead to pages, and of a signature only the result is shown"
    if cell.cell_type == "markdown": cell.source = linked(cell.source)
    elif "#| echo: false" in cell.source: cell.metadata["transient"] = dict(remove_source=True)

def linked(text): return re.sub(r"(\]\((?:\.\./nbs/)?\w+)\.ipynb\)", r"\1.html)", text)

def render_by_nbconvert(source, out, site):
    "A page for each notebook"
    import nbformat
    from jinja2 import Template
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter
    notebooks = {path.stem: nbformat.read(path, 4) for path in sorted(source.glob("*.ipynb"))}
    titles = {name: without_front_matter(nb) for name, nb in notebooks.items()}
    pages = [dict(name=name, title=title) for name, title in titles.items() if name != "index"]
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("*.ipynb", "*.yml", "fixtures"))
    shutil.copy(TOOLS.parent/"styles.css", out)
    colours = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    (out/"site.css").write_text(f"{colours}\n{(TOOLS/'site.css').read_text(encoding='utf-8')}", encoding="utf-8")
    template = Template((TOOLS/"page.html").read_text(encoding="utf-8"))
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    for name, nb in notebooks.items():
        for cell in nb.cells: prepare(cell)
        body = exporter.from_notebook_node(nb)[0]
        page = template.render(name=name, title=titles[name], site=site, pages=pages, body=body)
        (out/f"{name}.html").write_text(page, encoding="utf-8")
    print(f"{len(notebooks)} pages in {out}, by nbconvert; with Quarto (https://quarto.org) they have a search too")

if __name__ == "__main__":
    cfg = get_config()
    refresh_quarto_yml()
    nbdev_sidebar.__wrapped__()
    lay_out(cfg.nbs_path, out := cfg.config_path/"_proc")
    if shutil.which("quarto"): render_by_quarto(out, cfg.doc_path)
    else: render_by_nbconvert(out, cfg.doc_path, cfg.title)
