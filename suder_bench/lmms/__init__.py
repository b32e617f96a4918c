"""lmms-eval, another harness: models of ours in its evaluations. Nothing else imports this, and the extra `lmms` brings it."""
