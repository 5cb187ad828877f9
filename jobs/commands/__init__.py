"""Every `segue` command that is not a pipeline step."""
