//! haproxy: a map file, a stick table that counts, and `http-request return`.

use std::fmt::Write as _;

use anyhow::Context as _;

use super::{Installed, Launch, PARTNER, Peer, Place, REQUESTS_PER_SECOND_MAX, TCP, install};
use crate::answer::{self, Answer};

/// The system's haproxy or Debian's.
pub(super) fn installed() -> anyhow::Result<Installed> {
    let tool = install::haproxy()?;
    let about = tool.says(&["-v"])?;
    let version = about.split_once("version ").context("`haproxy -v` names no version")?.1;
    let version = version.split(['-', ' ']).next().unwrap_or_default();
    let name = format!("haproxy {version}");
    Ok(Installed { peer: Peer::Haproxy, name, tool, protocols: TCP.to_vec() })
}

/// Writes the configuration; `-db` keeps it in the foreground as one process. It adds no `date` by itself.
pub(super) fn launch(place: &Place) -> anyhow::Result<Launch> {
    // A key is looked up without the word before it, because a blank ends it in a map file.
    let (_, key) = answer::PLACEHOLDER_AUTHORIZATION.split_once(' ').context("the key has no scheme")?;
    let keys = place.write("keys.map", &format!("{key} {PARTNER}\n"))?;
    // One file with both.
    let pem = [&place.certificate, &place.private_key].map(std::fs::read_to_string);
    let [certificate, private_key] = pem;
    let pem = place.write("both.pem", &(certificate? + &private_key?))?;
    let mut fields = String::new();
    for (name, value) in Answer::over_tcp(place.https.port())?.with_constant_date().configured() {
        write!(fields, " hdr {name} '{value}'")?;
    }
    let (http, https, path, body) = (place.http, place.https, answer::PATH, answer::BODY);
    let config = format!(
        "\
global
  nbthread 1
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout client 60s
  timeout http-request 10s
  timeout http-keep-alive 60s
frontend api
  bind {http}
  bind {https} ssl crt {pem} alpn h2,http/1.1
  stick-table type string len 32 size 1k expire 60s store http_req_rate(1s)
  http-request set-var(txn.partner) http_auth_bearer,map_str({keys})
  http-request return status 401 unless {{ var(txn.partner) -m found }}
  http-request track-sc0 var(txn.partner)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {REQUESTS_PER_SECOND_MAX} }}
  http-request return status 404 unless {{ path {path} }}
  http-request return status 200 content-type application/json string '{body}'{fields}
"
    );
    let file = place.write("haproxy.cfg", &config)?;
    let arguments = ["-db", "-f", &file].map(str::to_owned).to_vec();
    Ok(Launch { arguments, variables: Vec::new() })
}
