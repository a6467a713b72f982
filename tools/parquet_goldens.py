"""Writes the parquet files that the harness's readers are tested on, and what pyarrow reads in them.

    python3 tools/parquet_goldens.py crates/harness/tests/goldens

Needs pyarrow and datasets. Prints the versions and stores them in `parquet.json`.
"""

import datetime
import json
import math
import pathlib
import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq


def rows():
    """Columns in the shapes that data sets of questions have, and every kind of absence."""
    for number in range(23):
        absent = number % 5 == 3
        yield {
            "id": f"q{number}",
            "question": None if absent else f"질문 {number}, \"x\"\n",
            "choices": {
                "text": [f"답 {number}.{choice}" for choice in range(number % 4)],
                "label": list("ABCD")[: number % 4],
            },
            "label": number - 3,
            "weight": None if absent else number / 7,
            "is_true": None if absent else number % 2 == 0,
            "endings": None if absent else ["", "b", None][: number % 4],
            "spans": [{"start": number, "words": ["a"] * (number % 3)}] * (number % 3),
            "nested": [[1, 2], [], [number]] if number % 2 else [],
            "maybe": None if absent else {"one": number, "two": None},
        }


SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.large_string()),
        ("choices", pa.struct([("text", pa.list_(pa.string())), ("label", pa.list_(pa.string()))])),
        ("label", pa.int64()),
        ("weight", pa.float64()),
        ("is_true", pa.bool_()),
        ("endings", pa.list_(pa.string())),
        ("spans", pa.list_(pa.struct([("start", pa.int32()), ("words", pa.list_(pa.string()))]))),
        ("nested", pa.list_(pa.list_(pa.int16()))),
        ("maybe", pa.struct([("one", pa.uint8()), ("two", pa.string())])),
    ]
)


def narrow_table():
    """Numbers of every width, bytes and maps."""
    columns = {
        "i8": pa.array([-128, None, 127], pa.int8()),
        "u16": pa.array([0, 65535, None], pa.uint16()),
        "u32": pa.array([4294967295, 0, 1], pa.uint32()),
        "u64": pa.array([18446744073709551615, 0, None], pa.uint64()),
        "f16": pa.array([0.5, None, -2.0], pa.float16()),
        "f32": pa.array([0.1, 1e30, math.nan], pa.float32()),
        "bytes": pa.array([b"text", b"\xff\xfe", None], pa.binary()),
        "map": pa.array([[("a", 1), ("b", None)], [], None], pa.map_(pa.string(), pa.int32())),
        "nothing": pa.array([None, None, None], pa.null()),
        "words": pa.array(["a", "b", "a"]).dictionary_encode(),
        "day": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1969, 12, 31)]),
    }
    return pa.table(columns)


def plain(value):
    """A value of pyarrow as the harness's JSON has it."""
    if isinstance(value, bytes):
        return None if value.startswith(b"\xff") else value.decode()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    return value


def main(folder):
    wide = pa.Table.from_pylist(list(rows()), schema=SCHEMA)
    pq.write_table(wide, folder / "snappy.parquet", compression="snappy", row_group_size=7)
    pq.write_table(wide, folder / "zstd.parquet", compression="zstd", data_page_version="2.0",
                   data_page_size=64, use_dictionary=False, row_group_size=10)
    datasets.Dataset.from_list(list(rows())).to_parquet(folder / "datasets.parquet")
    pq.write_table(narrow_table(), folder / "narrow.parquet", compression="none")
    read = lambda name: pq.read_table(folder / name).to_pylist()
    narrow = [{key: plain(value) for key, value in row.items()} for row in read("narrow.parquet")]
    for row in narrow:
        row["map"] = {} if row["map"] == [] else row["map"]
    golden = {
        "versions": {"pyarrow": pa.__version__, "datasets": datasets.__version__},
        "files": {name: read(name) for name in ["snappy.parquet", "zstd.parquet", "datasets.parquet"]}
        | {"narrow.parquet": narrow},
    }
    print(golden["versions"])
    (folder / "parquet.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
