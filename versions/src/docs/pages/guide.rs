//! The overview page.

use permissions::Environment;

use super::page::{Block, Code, Page, Section, Table};
use super::samples::{Call, exports};
use super::text::Text;
use super::{Site, pretty, reference, versions};
use crate::Entry;

/// The overview.
pub(super) fn overview(site: &Site<'_>) -> Page {
    let ping = site.first_entry();
    let mut sections = vec![
        Section::new("Make your first call", first_call(site, ping)),
        Section::new("Authentication", authentication(site)),
        Section::new("Staging and production", environments(site)),
        Section::new("Get API keys", getting_keys()),
        Section::new("Rotate and revoke keys", rotation()),
        Section::new("Rate limits", limits(site)),
        Section::new("Protocols", protocols()),
        Section::new("Versions", versions_in_short(site)),
    ];
    sections.push(Section::new(
        "Machine-readable formats",
        vec![Block::List(vec![
            "[`/llms.txt`](/llms.txt) lists every page as Markdown; [`/llms-full.txt`](/llms-full.txt) contains all of them."
                .into(),
            "Add `.md` to the address of any page to get it as Markdown. This page is at [`/index.md`](/index.md)."
                .into(),
            format!(
                "OpenAPI 3.1 documents, one per version: {}.",
                site.listed(|version| format!("[{version}](/openapi/{version}.json)"))
            )
            .into(),
        ])],
    ));
    Page {
        address: "/".to_owned(),
        route: "/",
        title: "Overview".to_owned(),
        lead: "A JSON API over HTTP with dated versions. You authenticate with an API key, and each endpoint requires one \
               permission. Put a version in the path, and your integration keeps working without changes."
            .into(),
        version: None,
        notice: None,
        opening: Vec::new(),
        sections,
    }
}

fn first_call(site: &Site<'_>, entry: Option<&Entry>) -> Vec<Block> {
    let Some(entry) = entry else { return vec![Block::paragraph("No version has an endpoint yet.")] };
    let parameters = crate::docs::parameters(&entry.route).unwrap_or_default();
    let call = Call::new(site, entry, &parameters);
    let mut blocks = vec![Block::paragraph(
        "Set the environment variable that the code samples read your key from. Start with a staging key.",
    )];
    blocks.extend(exports(site.key_variable, &format!("{}_stg_…", site.brand)));
    blocks.extend([
        Block::paragraph(format!(
            "A key that you type on the command line stays in your shell's history. To avoid that, let the shell prompt \
             for it: `read -rs {0} && export {0}`.",
            site.key_variable
        )),
        Block::paragraph("Then call the API:"),
        Block::Code(Code { label: "curl", language: "sh", text: call.curl() }),
        Block::paragraph("The response:"),
        Block::Code(Code { label: "200", language: "json", text: reference::example(&entry.route) }),
        Block::paragraph(format!(
            "See [{}]({}) for the same call in JavaScript, Python and PowerShell.",
            entry.route.name,
            reference::address(entry)
        )),
    ]);
    blocks
}

fn authentication(site: &Site<'_>) -> Vec<Block> {
    let unauthorized = serde_json::json!({ "error": site.invalid_token_message });
    vec![
        Block::paragraph(
            "Send your API key as a Bearer token (RFC 6750) in the `Authorization` header of every request. Without a \
             valid key, every request gets a 401, even if its path does not exist.",
        ),
        Block::Code(Code {
            label: "Header",
            language: "http",
            text: format!("Authorization: Bearer ${}", site.key_variable),
        }),
        Block::paragraph(format!(
            "A key starts with `{0}_stg_` for staging or `{0}_live_` for production, followed by 43 letters and digits and \
             a 6-character checksum. It is shown once, when it is created. Only a hash is stored, so nobody can look it \
             up for you later.",
            site.brand
        )),
        Block::paragraph("The response is the same whether the key is missing, unknown, expired or revoked:"),
        Block::Code(Code { label: "401", language: "json", text: pretty(&unauthorized) }),
        Block::Heading("Keep your keys secret".to_owned()),
        Block::list([
            "Anyone who has a key can use it. Use keys on servers only, never in browsers, apps or repositories.",
            "Store keys in a secret manager or an environment variable, and keep them out of logs and screenshots.",
            "If a key leaks, ask for it to be revoked immediately. It stops working within moments, and open connections \
             that used it are closed.",
        ]),
        Block::Heading("Permissions".to_owned()),
        Block::paragraph(
            "Each endpoint requires one permission, such as `ping:read`, which is listed on its page. A key has the \
             permissions that were granted when it was created. If the required one is missing, the response is a \
             [403](/errors/permission-missing) that names it.",
        ),
    ]
}

fn environments(site: &Site<'_>) -> Vec<Block> {
    let row = |environment: Environment, prefix: &str, purpose: &str| {
        let server_urls =
            site.server_urls.iter().filter(|server| server.environments.contains(environment.into()));
        let server_urls: Vec<_> = server_urls.map(|server| format!("`{}`", server.url)).collect();
        let server_urls =
            if server_urls.is_empty() { "not available here".to_owned() } else { server_urls.join(", ") };
        vec![
            Text::from(format!("**{environment}**")),
            format!("`{}_{prefix}_`", site.brand).into(),
            server_urls.into(),
            purpose.into(),
        ]
    };
    vec![
        Block::paragraph(
            "You get one key for each environment. The key decides which environment a request uses, and responses name it \
             in `env`. A key works only at addresses that serve its environment.",
        ),
        Block::Table(Table {
            label: "Environments",
            head: vec!["Environment", "Key prefix", "Base URL", "Purpose"],
            rows: vec![
                row(
                    Environment::Staging,
                    "stg",
                    "A sandbox for development and testing. Previews of upcoming versions are available here only.",
                ),
                row(Environment::Production, "live", "Live traffic."),
            ],
        }),
    ]
}

fn getting_keys() -> Vec<Block> {
    vec![
        Block::paragraph("Access is granted to each partner individually."),
        Block::Steps(vec![
            "**Request access.** Tell the API team what you want to build, which endpoints you need, and which networks you \
             will call from."
                .into(),
            "**Review.** The team reviews your use case and agrees on the permissions with you."
                .into(),
            "**Keys.** You receive two keys, one for staging and one for production, each with its own permissions and rate \
             limit."
                .into(),
            "**Go live.** Develop with the staging key. When everything works, switch to the production key; nothing else \
             changes."
                .into(),
        ]),
    ]
}

fn rotation() -> Vec<Block> {
    vec![
        Block::paragraph(
            "Ask the API team to rotate a key. You get a new key with the same permissions. Without an overlap, the old key \
             stops working immediately; with an overlap of a day, for example, both keys work for that day.",
        ),
        Block::Steps(vec![
            "Ask for the key to be rotated with an overlap.".into(),
            "Deploy the new key everywhere.".into(),
            "Let the old key expire, or ask for it to be revoked once nothing uses it.".into(),
        ]),
        Block::paragraph(
            "Requests with a revoked key get a 401, and connections that used the key are closed.",
        ),
    ]
}

fn limits(site: &Site<'_>) -> Vec<Block> {
    vec![Block::paragraph(format!(
        "Each key has a rate limit. The default is {} requests per {}, with bursts of up to {} requests. Responses to \
         authenticated requests say what is left in the `ratelimit` header and what the limit is in \
         `ratelimit-policy`. Beyond the limit, the response is a [429](/errors/rate-limited) with a `retry-after` header \
         in seconds.",
        site.key_rate.requests,
        site.key_rate.per.name(),
        site.key_rate.burst
    ))]
}

fn protocols() -> Vec<Block> {
    vec![Block::paragraph(
        "The API supports HTTP/1.1, HTTP/2 and HTTP/3, with the same responses over each. Responses over HTTP/1.1 and HTTP/2 \
         advertise HTTP/3 in the `alt-svc` header; clients that support it switch automatically. `GET` endpoints also \
         support `HEAD`, and every endpoint supports `OPTIONS`, which lists its methods in `allow`.",
    )]
}

fn versions_in_short(site: &Site<'_>) -> Vec<Block> {
    vec![
        Block::Table(versions::table(site, 8)),
        Block::paragraph(
            "See [Versions](/versions) for the lifecycle of a version, and the [changelog](/changelog) for what each one \
             changed.",
        ),
    ]
}
