//! haproxy: a map file, a stick table that counts, and `http-request return`.

use std::fmt::Write as _;
use std::process::Command;

use super::files::{Files, REQUESTS_PER_SECOND_MAX};

/// Writes the configuration; `-db` keeps it in the foreground as one process.
pub(super) fn configure(files: &mut Files, command: &mut Command) -> anyhow::Result<()> {
    // A blank ends the key of a map file, so it goes without its scheme.
    let keys = files.keys(|partner, authorization| {
        format!("{} {partner}\n", authorization.trim_start_matches("Bearer "))
    });
    let keys = files.write("keys.map", &keys)?;
    // One file with both.
    let [certificate, private_key] = [&files.certificate, &files.private_key].map(std::fs::read_to_string);
    let pem = files.write("both.pem", &(certificate? + &private_key?))?;
    let mut returns = String::new();
    // It adds no date.
    files.responses.add_constant_date();
    for (endpoint, fields) in files.responses.configured() {
        let (path, body) = (endpoint.path, endpoint.body);
        write!(returns, "  http-request return status 200 content-type application/json string '{body}'")?;
        for (name, value) in fields {
            write!(returns, " hdr {name} '{value}'")?;
        }
        writeln!(returns, " if {{ path {path} }}")?;
    }
    let (http, https) = (files.http, files.https);
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
{returns}  http-request return status 404
"
    );
    let file = files.write("haproxy.cfg", &config)?;
    command.args(["-db", "-f", &file]);
    Ok(())
}
