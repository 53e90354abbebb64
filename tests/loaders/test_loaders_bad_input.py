"""Bad input ends in one clear line: the file, what was expected, what was found, where first."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from predictdyn.loaders import load
from predictdyn.loaders.engine.merge import Conflict

# Points alone say nothing of where runs end; what is said of that is tested in test_tidy.py.
pytestmark = pytest.mark.filterwarnings("ignore:.*no runs.csv says where runs end")
POINTS = "run,metric,step,value\n"
RESULT = json.dumps({"results": {"piqa": {"acc": 0.5}}})

# source, files, options, words that must be in the message (the first is the file)
CASES: dict[str, tuple[str, dict[str, str | bytes], dict[str, object], tuple[str, ...]]] = {
    # tidy: points
    "missing column": ("tidy", {"points.csv": "run,metric,step\na,b,1\n"}, {},
                       ("points.csv", "missing column(s) value")),
    "two files of points": ("tidy", {"points.csv": POINTS, "points.csv.gz": b""}, {},
                            ("points.csv and points.csv.gz",)),
    "no rows": ("tidy", {"points.csv": POINTS}, {}, ("points.csv", "no rows")),
    "nothing": ("tidy", {"points.csv": ""}, {}, ("points.csv", "empty")),
    "no points": ("tidy", {"runs.csv": "run\na\n"}, {}, ("expected points.csv", "found runs.csv")),
    "twice": ("tidy", {"points.csv": POINTS + "a,b,1,2\na,b,2,2\na,b,1.0,3\n"}, {},
              ("points.csv, line 4", "from", "points.csv, line 2", "run 'a', metric 'b', step 1",
               "keep the value that counts")),
    "not a number": ("tidy", {"points.csv": POINTS + "a,b,1,2\na,b,2,high\n"}, {}, ("line 3", "value", "'high'")),
    "blank value": ("tidy", {"points.csv": POINTS + "a,b,1,\n"}, {}, ("line 2", "value is blank")),
    "blank run": ("tidy", {"points.csv": POINTS + ",b,1,2\n"}, {}, ("line 2", "run is blank")),
    "nan": ("tidy", {"points.csv": POINTS + "a,b,1,NaN\n"}, {},
            ("line 2", "value must be a finite number", "found nan")),
    "inf": ("tidy", {"points.csv": POINTS + "a,b,1,2\n\na,b,2,-inf\n"}, {}, ("line 4", "value", "found -inf")),
    "infinite step": ("tidy", {"points.csv": POINTS + "a,b,inf,2\n"}, {}, ("line 2", "step must be a finite number")),
    "negative step": ("tidy", {"points.csv": POINTS + "a,b,-1,2\n"}, {}, ("line 2", "step must not be negative")),
    "seen": ("tidy", {"points.csv": "run,metric,step,value,seen\na,b,1,2,yes\n"}, {}, ("line 2", "seen", "'yes'")),
    "stderr": ("tidy", {"points.csv": "run,metric,step,value,stderr\na,b,1,2,-1\n"}, {}, ("line 2", "stderr", "'-1'")),
    "ragged": ("tidy", {"points.csv": POINTS + "a,b,1,2\na,b,2\n"}, {}, ("line 3", "expected 4 cells", "found 3")),
    "one cell too many": ("tidy", {"points.csv": POINTS + "a,b,1,2,3\n"}, {},
                          ("line 2", "expected 4 cells", "found 5")),
    "double header": ("tidy", {"points.csv": "run,metric,step,value,value\n"}, {},
                      ("points.csv", "'value' more than once")),
    "not UTF-8": ("tidy", {"points.csv": b"run,metric,step,value\na\xff,b,1,2\n"}, {}, ("line 2", "not UTF-8", "0xff")),
    "no parquet": ("tidy", {"points.parquet": b"PAR0 this is none"}, {}, ("points.parquet", "not a parquet file")),
    "no gzip": ("tidy", {"points.csv.gz": b"run,metric"}, {}, ("points.csv.gz", "cannot be read")),
    "cut gzip": ("tidy", {"points.csv.gz": gzip.compress(b"run,metric,step,value\n" * 99)[:-12]}, {},
                 ("points.csv.gz", "truncated")),
    # tidy: the tables beside
    "kind": ("tidy", {"points.csv": POINTS + "a,b,1,2\n", "metrics.csv": "metric,kind\nb,lost\n"}, {},
             ("metrics.csv, line 2", "'b' has kind 'lost'", "capability, bias")),
    "bound": ("tidy", {"points.csv": POINTS + "a,b,1,2\n", "metrics.csv": "metric,kind,lower\nb,loss,zero\n"}, {},
              ("metrics.csv, line 2", "lower", "'zero'")),
    "bounds": ("tidy", {"points.csv": POINTS + "a,b,1,2\n", "metrics.csv": "metric,kind,lower,upper\nb,loss,1,0\n"}, {},
               ("metrics.csv, line 2", "lower 1 not below upper 0")),
    "better": ("tidy", {"points.csv": POINTS + "a,b,1,2\n", "metrics.csv": "metric,kind,better\nb,loss,up\n"}, {},
               ("metrics.csv, line 2", "'up'", "higher, lower, zero")),
    "metric twice": ("tidy", {"points.csv": POINTS + "a,b,1,2\n", "metrics.csv": "metric,kind\nb,loss\nb,bias\n"}, {},
                     ("metrics.csv, line 3", "'b' is named more than once")),
    "range": ("tidy", {"points.csv": POINTS + "a,b,1,.2\na,b,2,45\n",
              "metrics.csv": "metric,kind,upper\nb,bias,1\n"}, {},
              ("points.csv, line 3", "found 45", "between None and 1.0", "metrics.csv")),
    "run lacking": ("tidy", {"points.csv": POINTS + "a,b,1,2\nc,b,1,2\n", "runs.csv": "run\na\n"}, {},
                    ("no row for 1 run(s)", "'c'")),
    "run twice": ("tidy", {"points.csv": POINTS + "a,b,1,2\n", "runs.csv": "run\na\na\n"}, {},
                  ("runs.csv", "'a' is named more than once")),
    "last_step text": ("tidy", {"points.csv": POINTS + "a,b,1,2\n", "runs.csv": "run,last_step\na,end\n"}, {},
                       ("runs.csv, line 2", "last_step", "'end'")),
    "last_step early": ("tidy", {"points.csv": POINTS + "a,b,9,2\n", "runs.csv": "run,last_step\na,5\n"}, {},
                        ("run 'a'", "step 9", "after its last_step 5")),
    "event": ("tidy", {"points.csv": POINTS + "a,b,9,2\n", "events.csv": "run,step,what\nz,5,x\n"}, {},
              ("events", "no points", "'z'")),
    "option file": ("tidy", {"points.csv": POINTS + "a,b,9,2\n"}, {"runs_file": "gone.csv"},
                    ("gone.csv", "no such file")),
    # wide
    "no step": ("wide", {"x.csv": "time,loss\n1,2\n"}, {}, ("x.csv", "no step column", "found time, loss", "step=")),
    "wrong step": ("wide", {"x.csv": "step,loss\n1,2\n"}, {"step": "it"}, ("x.csv", "step='it' names no column")),
    "wrong run": ("wide", {"x.csv": "step,loss\n1,2\n"}, {"run": "who"}, ("x.csv", "run='who'", "found step, loss")),
    "wrong metric": ("wide", {"x.csv": "step,loss\n1,2\n"}, {"metrics": "acc*"}, ("'acc*' matches no metric", "loss")),
    "text cell": ("wide", {"x.csv": "step,loss\n1,2\n2,bad\n"}, {}, ("x.csv, line 3", "loss", "'bad'", "metrics=")),
    "blank step": ("wide", {"x.csv": "step,loss\n1,2\n,3\n"}, {}, ("x.csv, line 3", "step (the step)")),
    "step twice": ("wide", {"x.csv": "step,loss\n1,2\n2,3\n1,3\n"}, {},
                   ("x.csv, line 4", "run 'x', metric 'loss', step 1", "x.csv, line 2", "merge='yes'", "merge='runs'")),
    "header twice": ("wide", {"x.csv": "step,loss,loss\n1,2,3\n"}, {}, ("x.csv", "'loss' more than once")),
    "nothing to take": ("wide", {"x.csv": "step,note\n1,a\n"}, {}, ("x.csv", "no column of numbers")),
    "covariate": ("wide", {"x.csv": "step,loss,lr\n1,2,3\n2,2,4\n"}, {"covariates": "lr"},
                  ("x.csv, line 3", "'lr' must be constant", "3 and 4")),
    "no covariate": ("wide", {"x.csv": "step,loss\n1,2\n"}, {"covariates": "lr"}, ("x.csv", "'lr' names no column")),
    "family": ("wide", {"x.csv": "step,loss\n1,2\n"}, {"family": "(y)"}, ("'(y)' finds nothing", "'x'")),
    "regex": ("wide", {"x.csv": "step,loss\n1,2\n"}, {"family": "(y"}, ("'(y' is not a regular expression",)),
    "plan": ("wide", {"x.csv": "step,loss\n1,2\n"}, {"last_step": "late"}, ("x.csv", "last_step", "'late'")),
    "two values at a step": ("long", {"x.csv": "step,metric,value\n1,a,2\n2,a,2\n3,a,2\n2,a,3\n"}, {},
                             ("x.csv, line 5", "x.csv, line 3", "run 'x', metric 'a', step 2", "merge='yes'")),
    # json_lines, where faults are errors only if asked for
    "no JSON": ("json_lines", {"x.jsonl": '{"step": 1, "loss": 2}\nepoch 2: loss\n{"step": 2}\n'}, {"merge": "no"},
                ("x.jsonl, line 2", "not JSON", "'epoch 2: loss'")),
    "no JSON at the end": ("json_lines", {"x.jsonl": '{"step": 1, "loss": 2}\nTraceback\n'}, {"merge": "no"},
                           ("line 2", "'Traceback'")),
    "wrong JSON at the end": ("json_lines", {"x.jsonl": '{"step": 1, "loss": 2}\n{"step": 2, "loss": two}\n'},
                              {"merge": "no"}, ("line 2", "not JSON")),
    "cut first": ("json_lines", {"x.jsonl": '{"step": 1, "lo'}, {"merge": "no"}, ("line 1", "not JSON")),
    "no object": ("json_lines", {"x.jsonl": '{"step": 1, "loss": 2}\n[2, 3]\n'}, {"merge": "no"},
                  ("line 2", "not an object", "'[2, 3]'")),
    "no lines": ("json_lines", {"x.jsonl": "\n"}, {"merge": "no"}, ("x.jsonl", "empty")),
    "no JSON text": ("json_lines", {"x.jsonl": b'{"step": 1}\n{"a": "\xff"}\n{"step": 2}'}, {"merge": "no"},
                     ("line 2", "not UTF-8")),
    "JSON text": ("json_lines", {"x.jsonl": '{"step": 1, "loss": 2}\n\n{"step": 2, "loss": "x"}\n'}, {"merge": "no"},
                  ("x.jsonl, line 3", "loss", "'x'")),
    "JSON step": ("json_lines", {"x.jsonl": '{"iter": 1, "loss": 2}\n{"iter": "end", "loss": 2}\n'}, {"merge": "no"},
                  ("x.jsonl, line 2", "iter (the step)", "'end'")),
    "JSON no step": ("json_lines", {"x.jsonl": '{"loss": 2}\n'}, {"merge": "no"},
                     ("x.jsonl", "no step column", "found loss")),
    "JSON twice": ("json_lines", {"x.jsonl": '{"step": 1, "loss": 2}\n{"step": 1, "loss": 3}\n'}, {"merge": "no"},
                   ("line 2", "line 1")),
    # lm_eval
    "cut JSON": ("lm_eval", {"m/a_step1.json": RESULT[:-5]}, {}, ("a_step1.json", "not JSON", "truncated")),
    "other JSON": ("lm_eval", {"m/a_step1.json": RESULT, "m/b.json": '{"lr": 1}'}, {}, ("b.json", "'results'", "lr")),
    "JSON list": ("lm_eval", {"a_step1.json": "[1]"}, {}, ("a_step1.json", "expected a harness result", "list")),
    "no UTF-8": ("lm_eval", {"a_step1.json": b'{"results": "\xff"}'}, {}, ("a_step1.json", "not UTF-8")),
    "flat task": ("lm_eval", {"a_step1.json": '{"results": {"piqa": 0.5}}'}, {}, ("a_step1.json", "'piqa'", "'0.5'")),
    "text metric": ("lm_eval", {"a_step1.json": '{"results": {"piqa": {"acc": "high"}}}'}, {},
                    ("a_step1.json", "piqa acc must be a number", "'high'")),
    "NaN metric": ("lm_eval", {"a_step1.json": '{"results": {"piqa": {"acc": NaN}}}'}, {},
                   ("a_step1.json", "'piqa acc'", "finite")),
    "no values": ("lm_eval", {"a_step1.json": '{"results": {}}'}, {}, ("no points",)),
    "unknown step": ("lm_eval", {"m/a.json": RESULT}, {}, ("a.json", "does not say its step")),
    "step10k": ("lm_eval", {"m/a_step10k.json": RESULT}, {}, ("a_step10k.json", "does not say its step")),
    "step_from": ("lm_eval", {"m/a_step1.json": RESULT}, {"step_from": "me"}, ("step_from", "'me'")),
    "no such files": ("lm_eval", {"m/a_step1.json": RESULT}, {"files": "*.json"}, ("no result file (*.json)",)),
    "runs twice": ("lm_eval", {"a_step1.json": RESULT, "runs.csv": "run\na\na\n"}, {},
                   ("runs.csv", "2 rows for run 'a'")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_in_one_clear_line(case: str, tmp_path: Path) -> None:
    source, files, options, words = CASES[case]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    path = tmp_path if source in ("tidy", "lm_eval") else tmp_path / next(iter(files))
    with pytest.raises(ValueError) as caught:
        load(path, source, **options)
    message = str(caught.value)
    assert type(caught.value) in (ValueError, Conflict)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_wide_log_cut_in_its_last_row_is_a_fault(tmp_path: Path) -> None:
    # Half a row cannot be told from a fault, so unlike in json_lines it is one.
    (tmp_path / "x.csv").write_text("step,loss,acc\n1,2,0.5\n2,1")
    with pytest.raises(ValueError, match="line 3: expected 3 cells as in line 1, found 2"):
        load(tmp_path / "x.csv")
