"""README's ten lines of Python as a script and as a notebook in a folder, to be run with the wheel and nothing else."""

import re
import sys
from pathlib import Path

import nbformat

folder = Path(sys.argv[1])
(code,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), flags=re.S)
(folder / "quick_start.py").write_text(code, encoding="utf-8")
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code.replace('"page")', '"page-of-notebook")'))])
nbformat.write(notebook, folder / "quick_start.ipynb")
