"""The site for `make docs`: nbdev adds the signatures of what the notebooks export, Quarto renders them to _docs."""
import shutil, subprocess, sys

from execnb.nbio import read_nb, write_nb
from nbdev.config import get_config
from nbdev.processors import FilterDefaults, _is_showdoc, exec_show_docs
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml

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

def lay_out(source, out):
    "The notebooks of `source` as Quarto reads them, and the files beside them"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("*.ipynb", ".*"))
    for path in sorted(source.glob("*.ipynb")):
        site = Site().nb_proc(read_nb(path))
        site.process()
        write_nb(site.nb, out/path.name)

if __name__ == "__main__":
    cfg = get_config()
    refresh_quarto_yml()
    nbdev_sidebar.__wrapped__()
    lay_out(cfg.nbs_path, out := cfg.config_path/"_proc")
    if shutil.which("quarto") is None:
        sys.exit("docs: quarto is not installed (https://quarto.org); the notebooks in nbs/ are the documentation too")
    subprocess.run(["quarto", "render", "--no-cache"], cwd=out, check=True)
    shutil.rmtree(cfg.doc_path, ignore_errors=True)
    shutil.move(out/cfg.doc_path.name, cfg.doc_path)
