//! nginx: a `map` of keys, `limit_req`, and a body in its configuration.

use std::fmt::Write as _;

use anyhow::Context as _;

use super::install::Tool;
use super::{Installed, Launch, PARTNER, Peer, Place, REQUESTS_PER_SECOND_MAX, TCP};
use crate::answer;
use crate::protocol::Protocol;

/// What `nginx -V` shows of one that was built with HTTP/3.
const HTTP3_MODULE: &str = "--with-http_v3_module";

/// An nginx, with `name` before its version; it speaks HTTP/3 if it was built with it.
pub(super) fn installed(name: &str, tool: Tool) -> anyhow::Result<Installed> {
    let about = tool.says(&["-V"])?;
    let version = about.split_once("nginx/").context("`nginx -V` names no version")?.1;
    let version = version.split_whitespace().next().unwrap_or_default();
    let mut protocols = TCP.to_vec();
    if about.contains(HTTP3_MODULE) {
        protocols.push(Protocol::H3);
    }
    Ok(Installed { peer: Peer::Nginx, name: format!("{name} {version}"), tool, protocols })
}

/// Writes the configuration.
///
/// - `return` alone would answer before `limit_req` is asked, which has a later phase: so it stands in a
///   location of its own, to which the page of the error sends every request behind that phase. Of the
///   ways to get there this one costs nginx least (`try_files` 3 to 5 % more), if it is not logged.
/// - Without a master the one process is the worker, which costs the same: nothing to add up, and nothing
///   that outlives it.
pub(super) fn launch(nginx: &Installed, place: &Place) -> anyhow::Result<Launch> {
    let (http, https) = (place.http, place.https);
    // The forms of old: HTTP/3 came together with the new one.
    let mut listen = format!("listen {https} ssl http2 reuseport;");
    if nginx.protocols.contains(&Protocol::H3) {
        listen = format!("listen {https} ssl reuseport;\n    listen {https} quic reuseport;\n    http2 on;");
    }
    let mut fields = String::new();
    for (name, value) in place.answer.configured() {
        writeln!(fields, "      add_header {name} '{value}';")?;
    }
    let (certificate, private_key) = (place.certificate.display(), place.private_key.display());
    let (path, body, key) = (answer::PATH, answer::BODY, answer::PLACEHOLDER_AUTHORIZATION);
    let config = format!(
        "\
daemon off;
master_process off;
worker_processes 1;
error_log stderr crit;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  server_tokens off;
  keepalive_requests 1000000000;
  client_body_temp_path temporary-body;
  proxy_temp_path temporary-proxy;
  fastcgi_temp_path temporary-fastcgi;
  uwsgi_temp_path temporary-uwsgi;
  scgi_temp_path temporary-scgi;
  map_hash_bucket_size 256;
  map $http_authorization $partner {{
    default '';
    '{key}' {PARTNER};
  }}
  limit_req_zone $partner zone=partners:1m rate={REQUESTS_PER_SECOND_MAX}r/s;
  limit_req_status 429;
  server {{
    listen {http} reuseport;
    {listen}
    ssl_certificate {certificate};
    ssl_certificate_key {private_key};
    ssl_protocols TLSv1.3;
    location / {{ return 404; }}
    location = {path} {{
      if ($partner = '') {{ return 401; }}
      limit_req zone=partners burst={REQUESTS_PER_SECOND_MAX} nodelay;
      deny all;
      error_page 403 = @answer;
    }}
    location @answer {{
      default_type application/json;
{fields}      return 200 '{body}';
    }}
  }}
}}
"
    );
    let file = place.write("nginx.conf", &config)?;
    let folder = format!("{}/", place.folder.display());
    Ok(Launch {
        arguments: ["-e", "stderr", "-p", &folder, "-c", &file].map(str::to_owned).to_vec(),
        variables: Vec::new(),
    })
}
