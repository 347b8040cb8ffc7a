"""Nets to train from beginning to end: ``python -m norse_bridge.task NAME``, as Norse has them, offline.

Each task is one module with

    OPTIONS   the options of its command, a list of `click.Option`
    run       ``run(options, out, report) -> figures``: train, save the model into the folder ``out``, return the results by name
    train     the training itself, a plain function
    SOURCE    the data that it needs, if they lie in files: a `norse_bridge.task.files.Source`

and its docstring is the command's help. `norse_bridge.task.command` makes the command and adds what all have: the random seed and
the folder for the results.
"""
