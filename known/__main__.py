"""`python -m known` writes the built-in models whose circuit is known."""

from known.builtin import write_builtin_models

if __name__ == "__main__":
    write_builtin_models()
