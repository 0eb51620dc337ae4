"""The command line's verbs; every heavy import happens inside a verb, so that `serve` loads no trainer."""
