"""Fields of a toy family."""

FIELDS = {"model": {"ch": 2}, "optim": {"lr": 0.01}}
