"""MLflow: its stores, and a server."""

from predictdyn.loaders.mlflow.source import SOURCE as SOURCE
from predictdyn.loaders.mlflow.source import load as load
from predictdyn.loaders.mlflow.source import read as read
from predictdyn.loaders.mlflow.source import scan as scan
from predictdyn.loaders.mlflow.source import sniff as sniff
