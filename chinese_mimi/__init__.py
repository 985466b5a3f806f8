__version__ = "0.1.0"


def __getattr__(name):
    "`from chinese_mimi import Mimi`, without loading torch before it is asked for."
    if name == "Mimi":
        from .codec import Mimi
        return Mimi
    raise AttributeError(f"module 'chinese_mimi' has no attribute {name!r}")
