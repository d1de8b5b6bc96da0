"""Teaching a vision-language model to locate and examine."""
