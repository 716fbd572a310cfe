//! nginx: a `map` of keys, `limit_req`, and the bodies in its configuration.

use std::fmt::Write as _;

use anyhow::Context as _;

use super::install::Tool;
use super::peer::{CommandLine, Files, Installed, Peer, REQUESTS_PER_SECOND_MAX, STREAM_PATH, TCP};
use crate::protocol::Protocol;

/// Part of what `nginx -V` prints of one that was built with HTTP/3.
const HTTP3_MODULE: &str = "--with-http_v3_module";

/// An nginx, with `name` before its version.
pub(super) fn installed(name: &str, tool: Tool) -> anyhow::Result<Installed> {
    let about = tool.output(&["-V"])?;
    let version = about.split_once("nginx/").context("`nginx -V` prints no version")?.1;
    let version = version.split_whitespace().next().unwrap_or_default();
    let mut protocols = TCP.to_vec();
    if about.contains(HTTP3_MODULE) {
        protocols.push(Protocol::H3);
    }
    Ok(Installed { peer: Peer::Nginx, name: format!("{name} {version}"), tool, protocols })
}

/// Writes the configuration.
///
/// - `return` alone would respond before `limit_req`, which has a later phase. So it is in a second location, to
///   which the page of the error redirects every request after that phase. Of the ways to get there this one is nginx's
///   cheapest (`try_files` costs 3 to 5 % more), if it is not logged.
/// - Without a master the one process is the worker, which costs the same.
pub(super) fn configure(nginx: &Installed, files: &Files) -> anyhow::Result<CommandLine> {
    let (http, https) = (files.http, files.https);
    // The old form for an old nginx: HTTP/3 and the new form came together.
    let mut listen = format!("listen {https} ssl http2 reuseport;");
    if nginx.protocols.contains(&Protocol::H3) {
        listen = format!("listen {https} ssl reuseport;\n    listen {https} quic reuseport;\n    http2 on;");
    }
    let mut keys = String::new();
    for (partner, authorization) in &files.keys {
        writeln!(keys, "    '{authorization}' {partner};")?;
    }
    let mut locations = String::new();
    for (number, (endpoint, fields)) in files.responses.configured().enumerate() {
        write!(
            locations,
            "    location = {} {{
      if ($partner = '') {{ return 401; }}
      limit_req zone=partners burst={REQUESTS_PER_SECOND_MAX} nodelay;
      deny all;
      error_page 403 = @response{number};
    }}
    location @response{number} {{
      default_type application/json;\n",
            endpoint.path
        )?;
        for (name, value) in fields {
            writeln!(locations, "      add_header {name} '{value}';")?;
        }
        writeln!(locations, "      return 200 '{}';\n    }}", endpoint.body)?;
    }
    let (certificate, private_key) = (files.certificate.display(), files.private_key.display());
    let folder = format!("{}/", files.folder.display());
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
{keys}  }}
  limit_req_zone $partner zone=partners:1m rate={REQUESTS_PER_SECOND_MAX}r/s;
  limit_req_status 429;
  server {{
    listen {http} reuseport;
    {listen}
    ssl_certificate {certificate};
    ssl_certificate_key {private_key};
    ssl_protocols TLSv1.3;
    location / {{ return 404; }}
    location = {STREAM_PATH} {{ root {folder}; sendfile on; tcp_nopush on; }}
{locations}  }}
}}
"
    );
    let file = files.write("nginx.conf", &config)?;
    Ok(CommandLine::new(["-e", "stderr", "-p", &folder, "-c", &file]))
}
