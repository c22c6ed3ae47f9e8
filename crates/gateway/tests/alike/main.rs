//! Both ways through the gateway, held against each other: the same bytes to a gateway that has only the long way and to
//! one that has the short one too, with instances that record what reaches them. What clients get, what instances get
//! and what is counted must be the same, but for the order of header fields and what is made up anew each time.

#[path = "../common/mod.rs"]
mod common;
mod requests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use requests::{Kind, a_stream};
use slipway_core::traffic::{Endpoint, Limits};
use slipway_core::units::Millis;
use slipway_gateway::Tuning;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Streams that are played of each kind; `ALIKE_CASES=100000` plays more.
const CASES: usize = 500;
/// Other ones each time; what is printed as `ALIKE_SEED=…` plays the same again.
const SEED: &str = "ALIKE_SEED";

/// How often streams are played that come to different things: a matter of time alone is not so each time.
const REPLAYS: u32 = 4;

/// What instances answer, by the first letter of the path, and whether they close then.
const ANSWERS: &[(&str, bool)] = &[
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kept: 1\r\n\r\nhello", false),
    (
        "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n04\r\ndefg\r\n0\r\nX-Sum: 1\r\n\r\n",
        false,
    ),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false),
    ("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 9\r\n\r\n", false),
    ("HTTP/1.1 500 Oh\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!", true),
    ("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end", true),
    ("HTTP/1.1 200 OK\r\nDate: then\r\n\r\nuntil the end", true),
    ("", true),
    ("SSH-2.0-x\r\n\r\n", true),
    ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nbroken off", true),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", true),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", true),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: slipway-session=x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nab",
        false,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nUpgrade: x\r\n\r\nab",
        false,
    ),
    ("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nab", false),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", true),
    ("HTTP/1.1 700 What\r\nContent-Length: 0\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTrailer: x\r\nContent-Type: text/event-stream\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nX-Bad\r\nContent-Length: 0\r\n\r\n", true),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n4 ;x=1\r\ndefg\r\n0 \r\n\r\n", false),
];

/// One gateway with an instance of each version.
struct Side {
    world: World,
    /// Requests in their order, each with the version that got it.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Side {
    async fn start(fast: bool) -> Side {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stable, candidate) = (record("s", seen.clone()).await, record("c", seen.clone()).await);
        let endpoint = |name: &str, address: SocketAddr| Endpoint {
            instance: name.parse().unwrap(),
            incarnation: 1,
            address: address.into(),
        };
        let tuning = Tuning { header_timeout: Duration::from_secs(3), fast, ..quick() };
        let world = World::start_with(tuning).await;
        let mut split = table(1, 5_000, &[], &[]);
        split.limits = Limits { response: Millis(3_000), body_bytes: 64, ..Limits::default() };
        split.stable = vec![endpoint("s1", stable)];
        split.candidate = vec![endpoint("c1", candidate)];
        world.publish(split.build()).await;
        Side { world, seen }
    }

    /// What the client gets, and what reached the instances meanwhile.
    async fn play(&self, bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<String>) {
        self.seen.lock().unwrap().clear();
        let stream = TcpStream::connect(self.world.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut read, mut write) = stream.into_split();
        let mut from = 0;
        for cut in cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]) {
            // The gateway may have refused already and closed.
            if cut > from && write.write_all(&bytes[from..cut]).await.is_ok() {
                from = cut;
                // So that the next piece is mostly read by itself; none of what is compared depends on it.
                tokio::time::sleep(Duration::from_millis(u64::from(from < bytes.len()))).await;
            }
        }
        let mut got = Vec::new();
        let all = async {
            let mut piece = [0; 4096];
            // A reset ends it as well as an end.
            while let Ok(size @ 1..) = read.read(&mut piece).await {
                got.extend_from_slice(&piece[..size]);
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the gateway ends the connection");
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        // Who has no key yet goes to either version.
        let of_somebody = |pair: &str| ["ann", "bob", "eve", "joe"].iter().any(|key| pair == format!("slipway={key}"));
        let keyed = |one: &String| {
            let cookies = one.lines().filter_map(|line| line.strip_prefix("cookie: "));
            cookies.flat_map(|line| line.split(';')).any(|pair| of_somebody(pair.trim()))
        };
        seen.iter_mut().filter(|one| !keyed(one)).for_each(|one| one.replace_range(..1, "?"));
        (answers(&got), seen)
    }

    /// What is counted of each version, by name.
    fn counts(&self) -> BTreeMap<(String, &'static str), u64> {
        let mut sums = BTreeMap::new();
        for row in self.world.hub.counts() {
            let objectives = row.objectives.iter();
            for (name, value) in [
                ("assigned", row.assigned),
                ("attempts", row.attempts),
                ("failed", row.failed),
                ("failed by slipway", row.failed_by_slipway),
                ("latencies", row.latency_us.iter().map(|(_, n)| n).sum()),
                ("judged", objectives.clone().map(|o| o.n).sum()),
                ("bad", objectives.map(|o| o.bad).sum()),
            ] {
                *sums.entry((row.version.to_string(), name)).or_default() += value;
            }
        }
        sums
    }

    /// What is counted of all versions together: who is unknown goes to either.
    fn in_all(&self) -> BTreeMap<&'static str, u64> {
        self.counts().into_iter().fold(BTreeMap::new(), |mut sums, ((_, name), value)| {
            *sums.entry(name).or_default() += value;
            sums
        })
    }

    /// The same without what depends on how often something was tried: what went well among it.
    fn without_trying(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = self.in_all();
        for (of, bad, well) in [("attempts", "failed", "answered"), ("judged", "bad", "good")] {
            let (of, bad) = (sums.remove(of).unwrap_or(0), sums.remove(bad).unwrap_or(0));
            sums.insert(well, of - bad);
        }
        sums
    }

    async fn took_short_way(&self) -> u64 {
        let file = std::fs::read_to_string(self.world.dir.path().join("gateway/admin.json")).unwrap();
        let admin: serde_json::Value = serde_json::from_str(&file).unwrap();
        let address: SocketAddr = admin["address"].as_str().unwrap().parse().unwrap();
        let text = Client::to(address).await.get("/metrics", &[]).await.body;
        let line = text.lines().find_map(|line| line.strip_prefix("slipway_short_way_requests_total "));
        line.unwrap().parse().unwrap()
    }
}

/// An instance that notes whole requests and answers by `ANSWERS`.
async fn record(version: &'static str, seen: Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let mut piece = [0; 4096];
                loop {
                    while let Some((request, size, answer)) = whole(&bytes) {
                        bytes.drain(..size);
                        seen.lock().unwrap().push(format!("{version} {request}"));
                        let (answer, close) = ANSWERS[answer];
                        if stream.write_all(answer.as_bytes()).await.is_err() || close {
                            return;
                        }
                    }
                    match stream.read(&mut piece).await {
                        Ok(size @ 1..) => bytes.extend_from_slice(&piece[..size]),
                        _ => return,
                    }
                }
            });
        }
    });
    address
}

/// The request at the front as text with sorted fields, its size, and which answer it wants.
fn whole(bytes: &[u8]) -> Option<(String, usize, usize)> {
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut room);
    let httparse::Status::Complete(head) = request.parse(bytes).expect("a gateway sends HTTP") else { return None };
    let fields = sorted(request.headers);
    let (body, size) = body(&fields, &bytes[head..])?;
    let path = request.path.unwrap().to_string();
    let answer = path.as_bytes().get(1).map_or(0, |letter| usize::from(letter.wrapping_sub(b'a')));
    let text = format!("{} {path}\n{}\n\n{body}", request.method.unwrap(), fields.join("\n"));
    Some((text, head + size, if answer < ANSWERS.len() { answer } else { 0 }))
}

fn sorted(fields: &[httparse::Header]) -> Vec<String> {
    let text = |f: &httparse::Header| format!("{}: {}", f.name, String::from_utf8_lossy(f.value));
    let mut fields: Vec<String> = fields.iter().map(text).collect();
    fields.sort();
    fields
}

/// A body by what the fields say, and its size on the wire; `None` where it has not come whole.
fn body(fields: &[String], bytes: &[u8]) -> Option<(String, usize)> {
    if fields.iter().any(|f| f == "transfer-encoding: chunked") {
        let (mut body, mut at) = (Vec::new(), 0);
        loop {
            let end = at + bytes[at..].windows(2).position(|w| w == b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..end]).unwrap(), 16).unwrap();
            body.extend_from_slice(bytes.get(end + 2..end + 2 + size)?);
            at = end + 2 + size + 2;
            if size == 0 {
                return (at <= bytes.len()).then(|| (String::from_utf8_lossy(&body).into_owned(), at));
            }
        }
    }
    let length = fields.iter().find_map(|f| f.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    bytes.get(..length).map(|body| (String::from_utf8_lossy(body).into_owned(), length))
}

/// The answers that a client got, with sorted fields and without what is new each time.
fn answers(mut bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let mut room = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut room);
        let Ok(httparse::Status::Complete(head)) = response.parse(bytes) else {
            all.push(format!("broken off: {}", String::from_utf8_lossy(bytes)));
            break;
        };
        let fields = sorted(response.headers);
        let rest = &bytes[head..];
        // An answer to HEAD tells a length and has no body; no body here begins like an answer.
        let chunked = fields.iter().any(|f| f == "transfer-encoding: chunked");
        let bodiless = rest.starts_with(b"HTTP/1.") || rest.is_empty() && !chunked || response.code == Some(304);
        let (body, size) = match body(&fields, rest).filter(|_| !bodiless) {
            Some(whole) => whole,
            None if bodiless => ("none".to_string(), 0),
            // How much of a broken answer gets through, and whether its head does, is a matter of time.
            None => break,
        };
        let told = |f: &String| match f {
            f if f.starts_with("date: ") && !f.ends_with("then") => "date: now".to_string(),
            f if f.starts_with("set-cookie: slipway=") => format!("set-cookie: slipway=new{}", &f[52..]),
            f => f.clone(),
        };
        let fields: Vec<String> = fields.iter().map(told).collect();
        bytes = &rest[size..];
        if response.code == Some(100) {
            // Both say so on the long way; whether it still gets out before an answer that breaks off is a matter of time.
            continue;
        }
        all.push(format!("{} {}\n{}\n{body}", response.code.unwrap(), response.reason.unwrap(), fields.join("\n")));
    }
    all
}

/// The seed that is asked for, or another each time.
fn seed() -> u64 {
    let asked = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number"));
    asked.unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64 % 1_000_000)
}

#[test]
fn both_ways_do_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (long, short) = runtime.block_on(async { (Side::start(false).await, Side::start(true).await) });
    let cases: usize = std::env::var("ALIKE_CASES").map_or(CASES, |cases| cases.parse().expect("a number"));
    let seed = seed();
    println!("{SEED}={seed} ALIKE_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let mut play = |kind, cases| {
        for case in 0..cases {
            let (bytes, cuts) = a_stream(kind).new_tree(&mut runner).unwrap().current();
            let sent = String::from_utf8_lossy(&bytes);
            for again in (0..REPLAYS).rev() {
                let (mut by_long, mut by_short) =
                    runtime.block_on(async { tokio::join!(long.play(&bytes, &cuts), short.play(&bytes, &cuts)) });
                if kind == Kind::Silent {
                    by_long.1.dedup();
                    by_short.1.dedup();
                }
                if by_long == by_short {
                    break;
                }
                println!("case {case}, {kind:?}, differs: {sent:?} cut at {cuts:?}");
                assert!(again > 0, "it always differs:\nshort {by_short:#?}\nlong {by_long:#?}");
            }
        }
    };
    play(Kind::Sound, cases);
    play(Kind::Known, cases);
    runtime.block_on(alike("what is counted of each version", || (long.counts(), short.counts())));
    let assigned = |version: &str| short.counts()[&(version.to_string(), "assigned")];
    let least = cases as u64 / 4;
    assert!(assigned("s") > least && assigned("c") > least, "hardly any of one version: {:?}", short.counts());
    play(Kind::Any, cases);
    runtime.block_on(alike("what is counted in all", || (long.in_all(), short.in_all())));
    let before = short.in_all()["failed"];
    play(Kind::Silent, cases / 2);
    runtime
        .block_on(alike("what is counted where connections end", || (long.without_trying(), short.without_trying())));
    assert!(short.in_all()["failed"] > before, "no connection ended without an answer");
    runtime.block_on(async {
        assert_eq!(long.took_short_way().await, 0);
        let taken = short.took_short_way().await;
        assert!(taken > cases as u64, "hardly any request took the short way: {taken}");
    });
}

/// Waits until both have counted the same.
async fn alike<K: Ord + std::fmt::Debug>(what: &str, counts: impl Fn() -> (BTreeMap<K, u64>, BTreeMap<K, u64>)) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (long, short) = counts();
        if long == short {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} differs:\nlong {long:#?}\nshort {short:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
