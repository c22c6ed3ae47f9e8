//! One connection's worth of traffic: takes the next request that is due, sends it, writes down how it ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{COOKIE, HOST, SET_COOKIE};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rand::seq::IndexedRandom;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::blame::{self, Blame};
use crate::tally::{Fault, Outcome, Tally};
use crate::{Cookies, Plan};

/// How often the first of unequal users tries again.
const RETRIES: u32 = 3;

type Sender = SendRequest<Empty<Bytes>>;

/// Works until the traffic is over or is stopped.
pub(crate) async fn run(plan: Arc<Plan>, tally: Arc<Tally>, mut stopped: watch::Receiver<bool>) {
    let mut connection = Connection { plan: &plan, sender: None };
    while let Some(due) = plan.next_due() {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = sleep_until(due) => {}
        }
        let user = plan.pick_user();
        let retries = if plan.options.unequal && user == 0 { RETRIES } else { 0 };
        let mut due = due;
        for _ in 0..=retries {
            if !connection.ask(user, due, &tally).await {
                break;
            }
            due = Instant::now();
        }
    }
}

impl Plan {
    fn pick_user(&self) -> u32 {
        let users = self.options.users;
        match self.options.unequal && users > 1 {
            true if rand::random::<f64>() < 1.0 / 3.0 => 0,
            true => rand::random_range(1..users),
            false => rand::random_range(0..users),
        }
    }

    fn request(&self, user: u32) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
        let path = self.paths.choose(&mut rand::rng()).map_or("/", String::as_str);
        let mut request = Request::builder().method(self.options.method.clone()).uri(path).header(HOST, &self.host);
        let cookies = match &self.options.cookies {
            Cookies::Own(name) => format!("{name}=user-{user}"),
            Cookies::Kept => self.jars.cookies(user),
            Cookies::None => String::new(),
        };
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        request.body(Empty::new())
    }
}

/// The cookies that users were given.
#[derive(Default)]
pub(crate) struct Jars(Mutex<BTreeMap<u32, BTreeMap<String, String>>>);

impl Jars {
    fn cookies(&self, user: u32) -> String {
        let jars = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = jars.get(&user).into_iter().flatten().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn keep(&self, user: u32, response: &Response<Incoming>) {
        let given = response.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = given.filter_map(|value| value.split(';').next()?.trim().split_once('='));
        let mut jars = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in pairs {
            jars.entry(user).or_default().insert(name.to_string(), value.to_string());
        }
    }
}

struct Connection<'a> {
    plan: &'a Plan,
    sender: Option<Sender>,
}

impl Connection<'_> {
    /// Sends one request and writes down how it ended; whether it failed.
    async fn ask(&mut self, user: u32, due: Instant, tally: &Tally) -> bool {
        let sent = Instant::now();
        let limit = self.plan.options.timeout;
        let mut version = None;
        let failure = match timeout_at(sent + limit, self.exchange(user, &mut version)).await {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault),
            Err(_) => {
                self.sender = None;
                let detail = format!("no whole answer within {limit:?}");
                Some(Fault { blame: Blame::Slipway, kind: "time_out".into(), detail })
            }
        };
        let failed = failure.is_some();
        let user = (self.plan.options.cookies != Cookies::None).then_some(user);
        tally.record(Outcome { user, due, sent, version, failure });
        failed
    }

    async fn exchange(&mut self, user: u32, version: &mut Option<String>) -> Result<(), Fault> {
        let response = self.send(user).await?;
        if self.plan.options.cookies == Cookies::Kept {
            self.plan.jars.keep(user, &response);
        }
        let signed = response.headers().get("x-version").and_then(|value| value.to_str().ok());
        *version = signed.map(str::to_string);
        let status = response.status();
        let failure = blame::of_head(status, response.headers());
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Err(error) = frame {
                self.sender = None;
                // An instance's death and a gateway's look the same from here; a head that an instance signed
                // says that the instance had taken it on.
                let blame = if version.is_some() { Blame::Service } else { Blame::Slipway };
                return Err(Fault { blame, kind: "truncated".into(), detail: error.to_string() });
            }
        }
        match failure {
            None => Ok(()),
            Some((blame, kind)) => Err(Fault { blame, kind, detail: status.to_string() }),
        }
    }

    /// The response head. A request that never left because the kept connection had been closed is sent on a new one.
    async fn send(&mut self, user: u32) -> Result<Response<Incoming>, Fault> {
        let slipway = |kind: &str, detail: String| Fault { blame: Blame::Slipway, kind: kind.into(), detail };
        loop {
            let (mut sender, fresh) = match self.sender.take() {
                Some(sender) => (sender, false),
                None => (self.connect().await.map_err(|e| slipway("connect", e.to_string()))?, true),
            };
            if sender.ready().await.is_err() && !fresh {
                continue;
            }
            let request = self.plan.request(user).map_err(|e| slipway("no_answer", e.to_string()))?;
            match sender.send_request(request).await {
                Ok(response) => {
                    self.sender = Some(sender);
                    return Ok(response);
                }
                Err(error) if error.is_canceled() && !fresh => {}
                Err(error) => return Err(slipway("no_answer", with_source(&error))),
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<Sender> {
        let stream = TcpStream::connect(&self.plan.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
