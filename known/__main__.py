"""`python -m known` writes the built-in models whose circuit is known."""

import argparse

from known.builtin import write_builtin_models

if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m known",
        description="Write the built-in models whose circuit is known over those in the package.",
    ).parse_args()
    write_builtin_models()
