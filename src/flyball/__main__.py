"""`python -m flyball` is the command line."""

from flyball.cli.main import main

if __name__ == "__main__":
    main()
