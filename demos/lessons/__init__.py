"""Nine lessons on recurrent nets: each a program, a notebook and a page.

``python -m demos.lessons`` lists them; ``python -m demos.lessons 4`` runs the fourth and writes it, with its pictures,
as a page. A lesson is a Python file in the percent format of jupytext: it runs from top to bottom as a program, and
Jupyter opens it as a notebook. The folder zh has lessons in Chinese, with the same code: ``python -m demos.lessons 1
--language zh``.
"""
