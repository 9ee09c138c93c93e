"""`python -m reformer_seqlen COMMAND`: the same as `reformer-seqlen COMMAND`."""

from reformer_seqlen.commands.main import main

if __name__ == "__main__":
    main()
