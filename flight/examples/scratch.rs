#![allow(warnings, clippy::all)]
use duckdb::{Config, Connection};
fn try_it(c: &Connection, sql: &str) {
    let r = c.prepare(sql).and_then(|mut s| { s.stream_arrow([]).map(|x| x.get_schema()).and_then(|sch| { let mut out=vec![]; while let Some(a)=s.step()? { let b=arrow::record_batch::RecordBatch::from(&a); out.push(b);} Ok((sch,out)) }) });
    match r {
        Ok((s, b)) => { let t = arrow::util::pretty::pretty_format_batches(&b).map(|x| x.to_string()).unwrap_or_default(); println!("OK   {sql}\n{}", t.chars().take(9000).collect::<String>()) }
        Err(e) => println!("ERR  {sql}\n     {:?}", e.to_string()),
    }
}
fn main() {
    let dir = tempfile::tempdir().unwrap();
    let p = dir.path().join("hearth.duckdb");
    let cfg = Config::default().enable_autoload_extension(false).unwrap().enable_external_access(false).unwrap().with("threads","2").unwrap().with("checkpoint_threshold","1GB").unwrap().with("allow_community_extensions","false").unwrap();
    let c = Connection::open_with_flags(&p, cfg).unwrap();
    c.execute_batch("create schema civil; use hearth.civil; create table t(a int, \"from\" varchar, l varchar[], r struct(feature varchar, value double, contrib double)[]); create sequence s; insert into t values (1,'x',['a'],[{'feature':'f','value':1,'contrib':2}])").unwrap();
    let k = c.try_clone().unwrap();
    k.execute_batch("use hearth.civil").unwrap();
    try_it(&c, "select extension_name, loaded, installed from duckdb_extensions() where loaded");
    try_it(&c, "select current_setting('max_execution_time')");
    try_it(&c, "select name, value from duckdb_settings() where name ilike '%timeout%' or name ilike '%execution%' or name ilike '%temp%' or name like '%streaming%' or name like '%vacuum%' or name like '%wal%'");
    println!("lock {:?}", c.execute_batch("set lock_configuration=true"));
    println!("use after lock {:?}", c.execute_batch("use hearth.civil").map_err(|e| e.to_string()));
    try_it(&k, "select current_schema(), current_catalog(), version()");
    println!("begin ro {:?}", k.execute_batch("BEGIN TRANSACTION READ ONLY").map_err(|e| e.to_string()));
    for q in ["select * from t", "with d as (delete from t returning *) select * from d", "copy t to '/tmp/x.csv'", "with c as (copy t to '/tmp/x') select 1", "select nextval('s')", "explain analyze delete from t", "explain delete from t", "create temp table z(a int)", "attach ':memory:' as mm", "set threads=1", "select * from read_csv('/etc/passwd')", "select * from '/etc/passwd'", "select * from glob('/*')", "select * from read_text('/etc/passwd')","select * from read_blob('/etc/passwd')", "describe t", "show tables", "select * from (describe t)", "select * from (show tables)", "show all tables", "summarize t", "values (1,2)", "from t", "pivot t on a using count(*)", "explain select 1", "select getenv('HOME')", "select * from duckdb_databases()", "select * from checkpoint()", "select * from force_checkpoint()", "select * from enable_logging()", "select * from duckdb_secrets()", "select * from query('select 42')", "select ? as x", "select a, a from t", "select * from (select a, a from t) limit 0", "selec 1", "select * from nosuch", "select b from t", "select 1/0, 'x'::int", "select now() at time zone 'Asia/Shanghai'", "select now(), current_date, uuid(), 1.5, 1::decimal(10,2), interval 1 day, time '10:00', {'a':1}, map{'a':1}, 'a'::enum('a','b'), 1::hugeint, 1::uhugeint, '101'::bit, 'x'::blob, null, [1,2]::int[2], sum(1), count(*) ", "select * from histogram(t)", "load httpfs", "install httpfs", "pragma version", "call pragma_version()", "select * from which_secret('a','b')", "prepare x as select 1", "execute x", "export database '/tmp/zz'", "vacuum", "checkpoint", "select * from pragma_table_info('t')", "select write_log('x')", "select * from duckdb_logs", "select set_config('a','b')", "begin", "rollback; select 1"] { let _ = k.execute_batch("ROLLBACK"); k.execute_batch("BEGIN TRANSACTION READ ONLY").unwrap(); try_it(&k, q); }
    for q in ["select 1", "values (1)", "with d as (delete from t returning *) select 1", "describe t", "show tables", "select 1; select 2", "delete from t", "explain select 1", "selec 1", "", "from t", "summarize t", "select ?", "-- hi", "select * from (describe t)", "pivot t on a using count(*)", "select $1 + $x from portrait('a')", "select 1;", "show all tables"] {
        let mut s = c.prepare("select json_serialize_sql(?::varchar)").unwrap();
        let r: Result<String, _> = s.query_row([q], |r| r.get(0));
        println!("JSON {q:?}: {}", match r { Ok(s)=>s.chars().take(400).collect::<String>(), Err(e)=>format!("ERR {e}") });
    }
    for q in ["select * from arrow_scan(0::bigint,0::bigint,0::bigint)", "select * from arrow_scan_dumb(1::pointer,2::pointer,3::pointer)", "select * from sniff_csv('/etc/passwd')", "select function_name, function_type from duckdb_functions() where function_type in ('table','pragma') group by all order by 1", "select * from hearth.civil.t", "select name from duckdb_settings() where name='temp_directory'", "select database_name,path from duckdb_databases()", "select count(*) from range(40000000) t(i) where i%7=3", "select * from repeat_row(1,2,num_rows=3)", "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))", "select getvariable('x')", "select * from unnest([1,2])"] { let _ = k.execute_batch("ROLLBACK"); k.execute_batch("BEGIN TRANSACTION READ ONLY").unwrap(); try_it(&k, q); }
 let t0 = std::time::Instant::now();
    let mut s = c.prepare("select json_serialize_sql(?::varchar)").unwrap();
    for _ in 0..100 { let r: String = s.query_row(["select a, count(*) from t join t t2 using (a) where a > 5 group by a order by 2 desc limit 5"], |r| r.get(0)).unwrap(); }
    println!("json {:?}", t0.elapsed()/100);
}
