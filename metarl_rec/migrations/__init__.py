"""Exports of other products as rows of an import; each format is a module, and reads every file once."""
