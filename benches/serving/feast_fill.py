"""Makes a Feast repository with a Redis online store and writes the residents' features into it.

usage: feast_fill.py FOLDER REDIS_PORT ROWS.csv   (resident_key and the features)
"""

import datetime
import sys
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

folder, port, rows = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
folder.mkdir()
(folder / "feature_store.yaml").write_text(f"""
project: hearth
provider: local
registry: {{path: {folder}/registry.db, cache_ttl_seconds: 0}}
online_store: {{type: redis, connection_string: "127.0.0.1:{port}"}}
offline_store: {{type: dask}}
entity_key_serialization_version: 3
""", encoding="utf-8")
table = pd.read_csv(rows, dtype={"resident_key": str})
names = [name for name in table.columns if name != "resident_key"]
table[names] = table[names].astype("float32")
table["event_timestamp"] = datetime.datetime.now(datetime.timezone.utc)
table.head(1).to_parquet(folder / "source.parquet")
resident = Entity(name="resident", join_keys=["resident_key"], value_type=ValueType.STRING)
view = FeatureView(
    name="fall_risk", entities=[resident], schema=[Field(name=name, dtype=Float32) for name in names], online=True,
    source=FileSource(path=str(folder / "source.parquet"), timestamp_field="event_timestamp"))
store = FeatureStore(str(folder))
store.apply([resident, view, FeatureService(name="fall_risk", features=[view])])
store.write_to_online_store("fall_risk", table)
