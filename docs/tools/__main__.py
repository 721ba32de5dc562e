"""`python docs/tools`: writes the pages of the reference and the pictures anew."""

from pathlib import Path

import made

if __name__ == "__main__":
    for path, text in made.files().items():
        Path(made.ROOT, path).parent.mkdir(exist_ok=True)
        Path(made.ROOT, path).write_text(text)
