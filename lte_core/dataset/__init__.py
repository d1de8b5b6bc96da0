"""TRACE: the data that teaches a model to locate and examine. Each file is one stage; manifests pass between them."""
