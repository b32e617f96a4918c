"""lmms-eval, another harness: models of ours in its evaluations, and its tasks in our runs. Only a name such as `lmms:pope`
imports it, and the extra `lmms` brings it."""
