"""A file of W&B: what wandb 0.31 wrote offline, its records of run, history and exit (not those of the machine)."""

from __future__ import annotations

import base64
from pathlib import Path

FILE = (
    "OlcmQuG+ADyZPWihAAEIAoIBDiIMeHhmYWk5bG9uNTgxwgwGCgRrM3g5igGBAQoEazN4ORoEZGVtbyItCg0KBl93YW5kYoIBAnt9CgoK"
    "AmxyggEDMC4xChAKCW1heF9zdGVwc4IBAjMwQgNmb3hqBGhvc3SKAQwI65KH2AYQ4PjNhAOaASkaCSABaAFwAYABASIGMy4xMS43KgYw"
    "LjMxLjBqDGxpbnV4LXg4Nl82NElFANt8AAEIChJ4ChESBXRyYWluEgRsb3NzggEBMgoTEg1ldmFsL2FjY3VyYWN5ggEBMAolEgpfdGlt"
    "ZXN0YW1wggEWMS43OTUyNzkyMTI1MDYyODY2ZSswOQoYEghfcnVudGltZYIBCzAuNjc3MjQxNTk3CgsSBV9zdGVwggEBMBIAw5UrC4IA"
    "AQgNEn4KGBIIX3J1bnRpbWWCAQswLjY3NzM0NTIxMwoMEgVfc3RlcIIBAjEwChESBXRyYWluEgRsb3NzggEBMQoWEg1ldmFsL2FjY3Vy"
    "YWN5ggEEMC4yNQolEgpfdGltZXN0YW1wggEWMS43OTUyNzkyMTI1MDcxMjg3ZSswORICCAqfAQH3kwABCBISjgEKIhIFdHJhaW4SBGxv"
    "c3OCARIwLjY2NjY2NjY2NjY2NjY2NjYKFRINZXZhbC9hY2N1cmFjeYIBAzAuNQolEgpfdGltZXN0YW1wggEWMS43OTUyNzkyMTI1MDcz"
    "Mjc4ZSswOQoYEghfcnVudGltZYIBCzAuNjc3NjU4MDQyCgwSBV9zdGVwggECMjASAggULGk6/h8AAQgTggEOIgx1Y2c4MWZ0bjN4ZGPC"
    "DAYKBGszeDmSAQA="
)


def sample(folder: Path) -> Path:
    (folder / "wandb" / "offline-run-20261121_164000-k3x9").mkdir(parents=True)
    (folder / "wandb" / "offline-run-20261121_164000-k3x9" / "run-k3x9.wandb").write_bytes(base64.b64decode(FILE))
    return folder
