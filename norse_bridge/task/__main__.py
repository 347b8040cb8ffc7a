"""``python -m norse_bridge.task``."""

from norse_bridge.task.command import main

if __name__ == "__main__":
    main(prog_name="python -m norse_bridge.task")
