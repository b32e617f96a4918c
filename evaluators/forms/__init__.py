"""The forms in which people have the questions: VLMEvalKit's tables and the hub's parquet files, beside the official files."""
