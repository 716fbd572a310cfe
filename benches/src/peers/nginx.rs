//! nginx: a `map` of keys, `limit_req`, and the bodies in its configuration.

use std::fmt::Write as _;
use std::process::Command;

use super::files::{Files, REQUESTS_PER_SECOND_MAX, STREAM_PATH};

/// Part of what `nginx -V` prints of one that was built with HTTP/3.
pub(super) const HTTP3_MODULE: &str = "--with-http_v3_module";

/// Writes the configuration.
///
/// - `return` alone would respond before `limit_req`, which has a later phase. So it is in a second location, to
///   which the page of the error redirects every request after that phase. Of the possibilities this one is nginx's
///   cheapest (`try_files` costs 3 to 5 % more), if it is not logged.
/// - Without a master the one process is the worker, which costs the same.
pub(super) fn configure(files: &Files, has_http3: bool, command: &mut Command) -> anyhow::Result<()> {
    let (http, https) = (files.http, files.https);
    // The old form for an old nginx: HTTP/3 and the new form came together.
    let mut listen = format!("listen {https} ssl http2 reuseport;");
    if has_http3 {
        listen = format!("listen {https} ssl reuseport;\n    listen {https} quic reuseport;\n    http2 on;");
    }
    let keys = files.keys(|partner, authorization| format!("    '{authorization}' {partner};\n"));
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
    command.args(["-e", "stderr", "-p", &folder, "-c", &file]);
    Ok(())
}
