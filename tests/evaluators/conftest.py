"""What the tests of evaluators share, `answering` and `parses`, is on the import path for all folders below."""
