"""python -m fundusd."""

from fundusd.cli import main

if __name__ == "__main__":
    main()
