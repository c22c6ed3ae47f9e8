//! One ACME server: an account there, and orders of one host each, proven by HTTP-01.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Limited;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error, HttpClient,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use serde::{Deserialize, Serialize};
use slipway_server::{Challenges, Offered};

use crate::folder::replace;
use crate::up::web::{self, Requests, Trust};

/// Largest answer of a server in bytes.
const ANSWER_LIMIT: usize = 1 << 20;
/// How long a server is asked whether it has looked.
const PATIENCE: Duration = Duration::from_secs(120);

/// A certificate with its key, in PEM.
pub(super) struct Obtained {
    /// The certificate, and those that it rests on.
    pub chain: String,
    /// Its key.
    pub key: String,
}

/// Who issues certificates, and how to ask.
pub(super) struct Issuer {
    directory: String,
    contact: Option<String>,
    http: Http,
    /// Where the account is kept.
    file: PathBuf,
    challenges: Challenges,
    account: Option<Account>,
}

/// An account as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

impl Issuer {
    /// The one with this directory, trusted by the certificates of `ca` where that is named.
    pub fn new(
        directory: &str,
        contact: Option<String>,
        ca: Option<&Path>,
        file: PathBuf,
        challenges: Challenges,
    ) -> anyhow::Result<Issuer> {
        directory
            .parse::<http::Uri>()
            .ok()
            .filter(|uri| uri.scheme_str() == Some("https"))
            .with_context(|| format!("--acme {directory} is no address of a directory: it must begin with https://"))?;
        let trust = ca.map_or(Ok(Trust::Machine), Trust::file).map_err(anyhow::Error::msg)?;
        let http = Http(web::client(&trust, "--acme-ca").map_err(anyhow::Error::msg)?);
        Ok(Issuer { directory: directory.to_string(), contact, http, file, challenges, account: None })
    }

    /// A new certificate for a host, or why there is none.
    pub async fn obtain(&mut self, host: &str) -> Result<Obtained, String> {
        let account = self.account().await?;
        let asked = [Identifier::Dns(host.to_string())];
        let mut order = account.new_order(&NewOrder::new(&asked)).await.map_err(said)?;
        let offered = self.prove(&mut order).await?;
        let status = order.poll_ready(&patience()).await;
        drop(offered);
        if !matches!(status, Ok(OrderStatus::Ready)) {
            return Err(refusal(&mut order).await.unwrap_or_else(|| match status {
                Ok(status) => format!("the order is {status:?}"),
                Err(error) => said(error),
            }));
        }
        let key = order.finalize().await.map_err(said)?;
        let chain = order.poll_certificate(&patience()).await.map_err(said)?;
        Ok(Obtained { chain, key })
    }

    /// Lays out what the server looks for, until what is returned is dropped, and tells it to look.
    async fn prove(&self, order: &mut Order) -> Result<Vec<Offered>, String> {
        let mut offered = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(said)?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(format!("its authorization is {status:?}")),
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
                return Err("the server takes no proof by HTTP-01 for it".to_string());
            };
            let answer = challenge.key_authorization();
            offered.push(self.challenges.offer(&challenge.token, answer.as_str()));
            challenge.set_ready().await.map_err(said)?;
        }
        Ok(offered)
    }

    /// The account of before, or a new one.
    async fn account(&mut self) -> Result<Account, String> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let builder = || Account::builder_with_http(Box::new(self.http.clone()));
        let account = match self.kept()? {
            Some(credentials) => builder().from_credentials(credentials).await.map_err(said)?,
            None => {
                let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
                let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
                let made = builder().create(&new, self.directory.clone(), None).await;
                let (account, credentials) = made.map_err(said)?;
                let kept = Kept { directory: self.directory.clone(), credentials };
                let text = serde_json::to_string(&kept).map_err(|error| error.to_string())?;
                replace(&self.file, &text).map_err(|error| format!("{}: {error}", self.file.display()))?;
                account
            }
        };
        self.account = Some(account.clone());
        Ok(account)
    }

    /// The account at this server that is kept.
    fn kept(&self) -> Result<Option<AccountCredentials>, String> {
        let path = self.file.display();
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("the account in {path} cannot be read: {error}")),
        };
        let kept: Kept = serde_json::from_str(&text)
            .map_err(|error| format!("{path} holds no account ({error}); take it away to get a new one"))?;
        Ok((kept.directory == self.directory).then_some(kept.credentials))
    }
}

/// What the server says against an order: what it saw when it looked.
async fn refusal(order: &mut Order) -> Option<String> {
    order.refresh().await.ok()?;
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return Some(problem.to_string());
        }
    }
    None
}

fn said(error: Error) -> String {
    match error {
        Error::Timeout(_) => format!("the server has not decided within {} s", PATIENCE.as_secs()),
        error => error.to_string(),
    }
}

/// Requests to the server.
#[derive(Clone)]
struct Http(Requests<BodyWrapper<Bytes>>);

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.0.request(request);
        Box::pin(async move {
            let answer = answer.await.map_err(|error| Error::Other(web::said(&error, "--acme-ca").into()))?;
            Ok(BytesResponse::from(Response::map(answer, |body| Limited::new(body, ANSWER_LIMIT))))
        })
    }
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().timeout(PATIENCE)
}
