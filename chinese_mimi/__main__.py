"""The program `chinese-mimi`, also `python -m chinese_mimi`. It imports the command line under a guard, so that ctrl-C
ends it with one line and exit code 130 from its first moment."""
import sys


def main():
    "Run the command line."
    try:
        from chinese_mimi.cli import main
        main()
    except KeyboardInterrupt:
        print("chinese-mimi: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__": main()
