//! An identity provider of another make, as a process that takes commands, and a browser to sign in there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{PATIENCE, Script, client_script, repository, tool};

/// Where a provider sends the browser back to. Nothing listens there: the tests take the URL.
const CALLBACK: &str = "https://portal.example.com/callback";

/// A running provider. It ends with its input, and is killed when it is dropped.
pub struct IdentityProvider {
    script: Script,
    issuer: String,
    ca: Option<PathBuf>,
    callback: &'static str,
}

impl IdentityProvider {
    /// npm's `oidc-provider`: ES256, PS256 or EdDSA by client; it names its issuer in its responses. With a
    /// certificate (chain, key, authority) it is served over TLS.
    pub async fn node(certificate: Option<[&Path; 3]>) -> Self {
        Self::node_for(certificate, CALLBACK).await
    }

    /// The same, for clients to which it sends the browser back at this URL.
    pub async fn node_for(certificate: Option<[&Path; 3]>, callback: &'static str) -> Self {
        tool("node/node_modules/oidc-provider");
        let file = |index: usize| certificate.map(|files| files[index].to_owned()).unwrap_or_default();
        let mut command = Command::new("node");
        command.arg(script("oidc_provider.mjs")).args([file(0), file(1)]).arg(callback);
        command.env("NODE_PATH", repository().join("target/tools/node/node_modules"));
        Self::start(command, certificate.map(|files| files[2].to_owned()), callback).await
    }

    /// PyPI's `oidc-provider-mock`, on Authlib: RS256, without a key id in its tokens or an issuer in its responses.
    pub async fn python() -> Self {
        let mut command = Command::new(tool("py-oidc/bin/python"));
        command.arg(script("oidc_mock.py"));
        Self::start(command, None, CALLBACK).await
    }

    async fn start(mut command: Command, ca: Option<PathBuf>, callback: &'static str) -> Self {
        command.stderr(Stdio::null());
        let mut provider = Self { script: Script::start(command), issuer: String::new(), ca, callback };
        let started = provider.script.next(PATIENCE).await;
        provider.issuer = started["issuer"].as_str().expect("it begins with its issuer").to_owned();
        provider
    }

    async fn ask(&mut self, command: &str) -> Value {
        self.script.tell(command);
        self.script.next(PATIENCE).await
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where it sends the browser back to.
    pub fn callback(&self) -> &'static str {
        self.callback
    }

    /// Replaces its keys.
    pub async fn rotate(&mut self) {
        self.ask("rotate").await;
    }

    /// How often its keys were fetched.
    pub async fn fetches(&mut self) -> u64 {
        self.ask("fetches").await["fetches"].as_u64().expect("it counts")
    }

    /// Ends it, and waits until its port is closed.
    pub fn stop(&mut self) {
        self.script.stop();
    }

    /// Signs a person in from this URL on, and returns the query of the URL at which the browser came back.
    pub async fn sign_in(&self, url: &str, person: &str) -> String {
        let arguments = ["browser", url, self.callback, &self.ca(), person].map(str::to_owned);
        let came_back = client_script("node".into(), "oidc_sign_in.mjs", &arguments, PATIENCE).await;
        let url = came_back["callback"].as_str().expect("a URL").to_owned();
        url.split_once('?').map(|(_, query)| query.to_owned()).expect("a query")
    }

    /// An id token of a person, obtained by a client that is not the gateway.
    pub async fn token(&self, client: &str, secret: &str, person: &str) -> String {
        let arguments =
            ["token", &self.issuer, client, secret, self.callback, &self.ca(), person].map(str::to_owned);
        let signed_in = client_script("node".into(), "oidc_sign_in.mjs", &arguments, PATIENCE).await;
        signed_in["token"].as_str().expect("a token").to_owned()
    }

    fn ca(&self) -> String {
        self.ca.as_ref().map(|file| file.display().to_string()).unwrap_or_default()
    }
}

fn script(name: &str) -> PathBuf {
    repository().join("tests/clients").join(name)
}
