"""gxsearch: hyperparameter search for models that learn representations of gene expression."""

__version__ = "0.1.0"
