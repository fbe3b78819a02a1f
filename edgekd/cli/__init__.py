"""The command line: `app` and one light file per verb; nothing heavy is imported before it is needed."""
