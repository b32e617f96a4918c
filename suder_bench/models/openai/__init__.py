"""`openai:MODEL@URL`, a model behind an address; nothing heavy is imported before it is loaded."""
