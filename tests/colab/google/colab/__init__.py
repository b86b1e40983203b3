"""A stand-in for Google Colab's own package, as far as `provision` uses it: put tests/colab on sys.path.

Names, signatures, messages and errors are those of googlecolab/colabtools at 3c07d776a9d3, of 2026-04-07. There the
kernel asks the page in the browser; here `_page.page` takes the page's place, and tests say what it answers.
"""

from google.colab import drive, output

__all__ = ["drive", "output"]
