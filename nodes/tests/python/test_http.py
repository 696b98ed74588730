"""The HTTP port: health, metrics, the cockpit, events as NDJSON and CloudEvents, reports."""

import gzip
import io
import json
import re
import time
import urllib.error
import urllib.request
import zipfile

import pytest
from conftest import connect, hearth
from test_cli import done

WITHIN_S = 15
# A time that is in the window of what is taken, and too old to page anyone.
AT_US = 1767225600000000


def call(address, path, body=None, headers=None):
    request = urllib.request.Request(f"http://{address}{path}", body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def post(address, body, content_type, **headers):
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, answer = call(address, "/v1/events", body, {"content-type": content_type, **named})
    return status, json.loads(answer)


def reading(event_id, **fields):
    return {"event_id": event_id, "device_id": "py-http", "kind": "motion", "event_time_us": AT_US, "value": 1,
            "source": "test_http", **fields}


def lines(*events):
    return "\n".join(json.dumps(each) for each in events)


@pytest.fixture(params=range(3))
def http(request, cluster, district):
    return cluster.http[request.param]


def test_health(http):
    assert call(http, "/livez")[0] == 200
    status, _, said = call(http, "/readyz")
    assert status == 200, said
    assert call(http, "/no/such/page")[0] == 404


def test_metrics_parse(http):
    status, headers, body = call(http, "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    kinds, seen, values = {}, set(), {}
    for line in body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds, f"{name} has two TYPE lines"
            kinds[name] = kind
            continue
        if line.startswith("#") or not line:
            continue
        sample = re.fullmatch(r'([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)', line)
        assert sample, line
        name, labels, value = sample.groups()
        float(value)
        assert (name, labels) not in seen, f"{line} comes twice"
        seen.add((name, labels))
        values[name] = float(value)
        family = re.sub(r"_(bucket|sum|count|total)$", "", name)
        assert name in kinds or family in kinds, f"{name} has no TYPE"
    assert values["hearth_has_leader"] == 1 and values["hearth_applied_index"] > 0
    assert values["hearth_residents"] > 0 and values["hearth_events"] > 0


def test_cockpit(http):
    status, headers, page = call(http, "/")
    text = page.decode("utf-8")
    assert status == 200 and headers["content-type"].startswith("text/html") and "<html" in text
    assert not re.search(r'(?:src|href)="https?://', text), "the page loads nothing from elsewhere"


def test_what_the_cockpit_reads(http):
    for path in ("/v1/status", "/v1/summary", "/v1/alerts", "/v1/silences", "/v1/reports"):
        status, headers, body = call(http, path)
        assert status == 200 and headers["content-type"].startswith("application/json"), path
        json.loads(body)
    summary = json.loads(call(http, "/v1/summary")[2])
    assert summary["residents"] > 0 and summary["devices"] > 0 and summary["events_total"] > 0


def test_ndjson(http):
    name = http.replace(":", "-")
    body = lines(reading(f"{name}-1"), reading(f"{name}-2")) + "\n\n"
    status, answer = post(http, body, "application/x-ndjson")
    assert (status, answer["accepted"], answer["duplicates"], answer["rejected"]) == (200, 2, 0, [])
    status, again = post(http, body, "application/x-ndjson")
    assert (status, again["accepted"], again["duplicates"]) == (200, 0, 2), "a repeat is known by its source and id"
    assert answer["log_index"] > 0


def test_a_bad_line_is_named(cluster, district):
    http = cluster.http[0]
    good = json.dumps(reading("before-a-bad-line"))
    listed = '["x","d","gas",1767225600000000,5,"","g"]'
    for bad, word in (("{", ""), ('{"evnt_id":"x"}', "evnt_id"), ('{"value":"five"}', ""), ("[]", ""), (listed, "")):
        status, answer = post(http, f"{good}\n{bad}\n", "application/x-ndjson")
        assert status == 400 and word in answer["error"] and "\n" not in answer["error"], answer
        assert "line 2" in answer["error"], answer
    status, answer = post(http, good, "application/x-ndjson")
    assert answer["accepted"] == 1, "nothing of a body with a bad line was taken"


def test_wrong_events_are_rejected_by_position(cluster, district):
    later = int((time.time() + 7_200) * 1e6)
    body = lines(reading("good-1"), reading("odd", kind="teleport"), reading("early", event_time_us=1),
                 reading("late", event_time_us=later), reading("", value=1), reading("huge", value=1e300), reading("good-2"))
    status, answer = post(cluster.http[1], body, "application/x-ndjson")
    assert status == 200 and answer["accepted"] == 2
    reasons = {each["position"]: each["reason"] for each in answer["rejected"]}
    assert set(reasons) == {1, 2, 3, 4, 5} and all(reasons.values()) and "teleport" in reasons[1]


def test_not_utf8_and_too_large(cluster, district):
    assert post(cluster.http[0], b"\xff\xfe", "application/x-ndjson")[0] == 400
    status, _, said = call(cluster.http[0], "/v1/events", b" " * (9 << 20), {"content-type": "application/x-ndjson"})
    assert status == 413 and said, said


def test_what_programs_put_around_lines(http):
    name = http.replace(":", "-")
    body = b"\xef\xbb\xbf" + lines(reading(f"{name}-bom"), reading(f"{name}-crlf")).replace("\n", "\r\n").encode() + b"\r\n"
    status, answer = post(http, body, "application/x-ndjson")
    assert (status, answer.get("accepted")) == (200, 2), answer
    status, answer = post(http, gzip.compress(body), "application/x-ndjson", content_encoding="GZIP")
    assert (status, answer.get("duplicates")) == (200, 2), answer
    status, answer = post(http, gzip.compress(body)[:-9], "application/x-ndjson", content_encoding="gzip")
    assert status == 400 and "gzip" in answer["error"], answer
    assert post(http, body, "application/x-ndjson", content_encoding="br")[0] == 415


def test_of_a_body_with_a_bad_line_the_others_can_be_taken(cluster, district):
    good = [json.dumps(reading(f"around-{at}")) for at in range(3)]
    body = "\r\n".join([good[0], "", '{"value":', good[1], good[2]]).encode()
    status, _, said = call(cluster.http[0], "/v1/events?bad_lines=skip", body, {"content-type": "application/x-ndjson"})
    answer = json.loads(said)
    assert (status, answer["accepted"], len(answer["rejected"])) == (200, 3, 1), answer
    assert answer["rejected"][0]["reason"].startswith("line 3: "), answer


def test_rows_of_a_feed_and_a_record_that_is_taken_back(cluster, district, tmp_path):
    http, at_us = cluster.http[1], int(time.time() * 1e6) - 60_000_000
    spec = tmp_path / "feed.toml"
    spec.write_text('feed = "py-grids"\nversion = 1\ndepartment = "d"\ntable = "grid"\n')
    done(hearth("feed", "push", spec, address=cluster.grpc[0]))
    url, kind = "/v1/feeds/py-grids", {"content-type": "application/x-ndjson"}

    def send(*rows):
        body = "\r\n".join(json.dumps(row) if isinstance(row, dict) else row for row in rows).encode()
        status, _, said = call(http, url, b"\xef\xbb\xbf" + body, kind)
        return status, json.loads(said)

    row = {"seq": 1, "time_us": at_us, "row": {"grid_id": "py-g1", "households": 5}}
    status, answer = send(row, "{", {"seq": 3, "time_us": at_us, "row": {"grid_id": "py-g1", "house": 5}})
    assert (status, answer["applied"]) == (200, 1), answer
    assert [each["position"] for each in answer["rejected"]] == [1, 2] and "house" in answer["rejected"][1]["reason"]
    status, answer = send({"seq": 4, "time_us": at_us + 1, "deleted": True, "row": {"grid_id": "py-g1"}})
    assert (status, answer["applied"], answer["withdrawn"]) == (200, 1, 1), answer
    with connect(cluster.flight[1]) as connection, connection.cursor() as cursor:
        wait_for(cursor, "SELECT count(*) = 2 FROM row_provenance WHERE row_key = 'py-g1'")
        cursor.execute("SELECT count(*) FROM grid WHERE grid_id = 'py-g1'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT withdrawn FROM row_provenance WHERE row_key = 'py-g1' ORDER BY seq")
        assert cursor.fetchall() == [(False,), (True,)]
    assert send(*[row] * 10_001)[0] == 413


def test_feast_in_json_takes_values_of_the_call(cluster, residents, tmp_path):
    view = tmp_path / "view.toml"
    view.write_text("""name = "py_called"
entity = "resident"
version = 1
request = [{ name = "visits" }]
feature = [{ name = "twice", expression = "2 * request.visits" }]
""")
    done(hearth("view", "push", view, address=cluster.grpc[0]))

    def ask(**fields):
        body = {"features": ["py_called:twice"], "entities": {"resident_key": residents[:2]}} | fields
        status, _, said = call(cluster.http[0], "/get-online-features", json.dumps(body).encode())
        if status != 200:
            return status, json.loads(said)["error"]
        told = json.loads(said)
        at = told["metadata"]["feature_names"].index("twice")
        return told["results"][at]["values"], told["results"][at]["statuses"]

    wait_until(lambda: ask()[0] != 404)
    assert ask(request_context={"visits": [1, 4.5]}) == ([2.0, 9.0], ["PRESENT"] * 2)
    assert ask(request_context={"visits": [3]}) == ([6.0, 6.0], ["PRESENT"] * 2)
    assert ask(entities={"resident_key": residents[:2], "visits": [1, 2]}) == ([2.0, 4.0], ["PRESENT"] * 2)
    assert ask() == ([None, None], ["NULL_VALUE"] * 2)
    status, error = ask(request_context={"visits": [1, 2, 3]})
    assert status == 400 and "3 numbers for 2 entities" in error


def test_feast_in_json_tells_old_missing_and_unknown_apart(cluster, residents, tmp_path):
    view = tmp_path / "view.toml"
    view.write_text("""name = "py_aged"
entity = "resident"
version = 1
feature = [
    { name = "age", column = "resident.birth_ym", transform = "years_since", ttl_us = 1 },
    { name = "spoken", kind = "sos", aggregate = "last", default = 9 },
]
""")
    done(hearth("view", "push", view, address=cluster.grpc[0]))

    def ask(**fields):
        body = {"feature_service": "py_aged", "entities": {"resident_key": [residents[0], "nobody"]},
                "full_feature_names": True} | fields
        status, _, said = call(cluster.http[0], "/get-online-features", json.dumps(body).encode())
        told = json.loads(said)
        return status, dict(zip(told["metadata"]["feature_names"], told["results"])) if status == 200 else told

    wait_until(lambda: ask()[0] == 200)
    told = ask()[1]
    assert set(told) == {"resident_key", "py_aged__age", "py_aged__spoken"}
    assert told["py_aged__age"]["statuses"] == ["OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert told["py_aged__age"]["values"][0] >= 50 and told["py_aged__age"]["values"][1] is None
    assert told["py_aged__spoken"]["statuses"] == ["NULL_VALUE", "NOT_FOUND"]
    assert ask(hearth_defaults=True)[1]["py_aged__spoken"]["values"] == [9.0, 9.0]


def wait_until(holds):
    until = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def wait_for(cursor, query):
    def holds():
        cursor.execute(query)
        return cursor.fetchone()[0]

    wait_until(holds)


def cloud(event_id, **fields):
    return {"specversion": "1.0", "type": "reading", "id": event_id, "source": "/cloud", "time": "2026-01-01T08:00:00+08:00",
            "data": {"device_id": "py-cloud", "kind": "gas", "value": 2.5, "unit": "%LEL"}, **fields}


def test_cloud_events_structured_batched_and_binary(http):
    name = http.replace(":", "-")
    status, answer = post(http, cloud(f"{name}-s"), "application/cloudevents+json; charset=utf-8")
    assert (status, answer["accepted"]) == (200, 1), answer
    both = [cloud(f"{name}-b1"), cloud(f"{name}-b2"), cloud(f"{name}-s")]
    status, answer = post(http, both, "application/cloudevents-batch+json")
    assert (status, answer["accepted"], answer["duplicates"]) == (200, 2, 1), answer
    headers = {"ce_specversion": "1.0", "ce_type": "reading", "ce_source": "/cloud", "ce_time": "2026-01-01T00:00:00Z"}
    data = {"device_id": "py-cloud", "kind": "gas", "value": 2.5}
    status, answer = post(http, data, "application/json", ce_id=f"{name}-bin", **headers)
    assert (status, answer["accepted"]) == (200, 1), answer
    status, answer = post(http, data, "application/json", ce_id=f"{name}-s", **headers)
    assert answer["duplicates"] == 1, "the three forms share their keys"


def test_wrong_cloud_events_say_why(cluster, district):
    http = cluster.http[0]
    without_id = {name: value for name, value in cloud("x").items() if name != "id"}
    for body, word in ((without_id, "id"), (cloud("x", time="yesterday"), "yesterday"), ([], "CloudEvent")):
        status, answer = post(http, body, "application/cloudevents+json")
        assert status == 400 and word in answer["error"] and "\n" not in answer["error"], answer
    status, answer = post(http, [cloud("y"), without_id], "application/cloudevents-batch+json")
    assert status == 400 and answer["error"]


def test_portrait(http, district):
    resident = district.table("resident")["resident_key"][3].as_py()
    status, _, body = call(http, f"/v1/portrait/{resident}")
    assert status == 200 and resident in body.decode()
    json.loads(body)
    status, _, body = call(http, "/v1/portrait/nobody")
    assert status == 404 and "nobody" in json.loads(body)["error"]


@pytest.fixture(scope="module")
def reports(cluster, district):
    listed = json.loads(call(cluster.http[0], "/v1/reports")[2])
    assert len(listed) >= 8
    return [each["id"] for each in listed]


def test_every_report_in_every_form(cluster, reports):
    for at, name in enumerate(reports):
        http = cluster.http[at % 3]
        for form, kind in (("html", "text/html"), ("csv", "text/csv"), ("xlsx", "application/vnd.openxmlformats")):
            status, headers, body = call(http, f"/v1/reports/{name}?format={form}")
            assert status == 200 and headers["content-type"].startswith(kind), (name, form, body[:300])
            if form == "xlsx":
                with zipfile.ZipFile(io.BytesIO(body)) as book:
                    assert book.testzip() is None and "xl/workbook.xml" in book.namelist()
            else:
                assert len(body.decode("utf-8").splitlines()) >= 1
            if form == "csv":
                assert body.startswith(b"\xef\xbb\xbf"), "Excel reads Chinese by its mark"


def test_wrong_reports_are_refused(cluster, reports):
    http = cluster.http[0]
    assert call(http, "/v1/reports/no-such-report")[0] == 404
    for query in ("format=docx", "language=tlh", "no_such_parameter=1", "as_of=yesterday"):
        status, _, body = call(http, f"/v1/reports/{reports[0]}?{query}")
        assert status == 400 and json.loads(body)["error"], (query, status, body)


def test_an_act_on_no_alert(cluster, district):
    http = cluster.http[0]
    status, _, body = call(http, "/v1/alerts/act", json.dumps({"alert_id": "none", "action": "ack", "actor": "py"}).encode())
    assert status == 404 and "none" in json.loads(body)["error"]
    assert call(http, "/v1/alerts/act", b"[]")[0] == 400
    status, _, body = call(http, "/v1/alerts/act", json.dumps({"alert_id": "none", "action": "dance", "actor": "py"}).encode())
    assert status == 400 and "dance" in json.loads(body)["error"]
