//! The overview: what a partner reads first.

use permissions::Environment;

use super::page::{Block, Code, Page, Section, Table};
use super::samples::{Call, VARIABLE, exports};
use super::text::Text;
use super::{Site, pretty, reference, versions};
use crate::Entry;

/// The overview.
pub(super) fn overview(site: &Site<'_>) -> Page {
    let ping = site.first_entry();
    let mut sections = vec![
        Section::new("Your first call", first_call(site, ping)),
        Section::new("Authentication", authentication(site)),
        Section::new("Staging and production", environments(site)),
        Section::new("Getting keys", getting_keys()),
        Section::new("Replacing and revoking keys", rotation()),
        Section::new("Limits", limits(site)),
        Section::new("Protocols", protocols()),
        Section::new("Versions", versions_in_short(site)),
    ];
    sections.push(Section::new(
        "For programs",
        vec![Block::List(vec![
            "[`/llms.txt`](/llms.txt) lists every page as Markdown, [`/llms-full.txt`](/llms-full.txt) holds them all."
                .into(),
            "Any address of a page with `.md` behind it is the page as Markdown; for this one it is \
             [`/index.md`](/index.md)."
                .into(),
            format!(
                "One OpenAPI 3.1 document for each version: {}.",
                site.listed(|version| format!("[{version}](/openapi/{version}.json)"))
            )
            .into(),
        ])],
    ));
    Page {
        address: "/".to_owned(),
        route: "/",
        title: "Overview".to_owned(),
        lead: "An HTTP API whose versions are dates. A key opens it; each endpoint requires one permission; answers \
               are JSON. Choose a date, put it into the path, and what you have built keeps working as it is."
            .into(),
        version: None,
        notice: None,
        opening: Vec::new(),
        sections,
    }
}

fn first_call(site: &Site<'_>, entry: Option<&Entry>) -> Vec<Block> {
    let Some(entry) = entry else { return vec![Block::says("No version has an endpoint yet.")] };
    let parameters = crate::docs::parameters(&entry.route).unwrap_or_default();
    let call = Call::new(&entry.route, &parameters, &format!("{}/{}", site.api_url, entry.version));
    let mut blocks =
        vec![Block::says("Put your key where the samples look for it. Use a key of staging to begin with.")];
    blocks.extend(exports(&format!("{}_stg_…", site.brand)));
    blocks.extend([
        Block::says(
            "A key that is typed into a shell stays in its history. Where that matters, let the shell ask for it: \
             `read -rs PARTNER_API_KEY && export PARTNER_API_KEY`.",
        ),
        Block::says("Then call:"),
        Block::Code(Code { label: "curl", language: "sh", text: call.curl() }),
        Block::says("The answer:"),
        Block::Code(Code { label: "200", language: "json", text: reference::example(&entry.route) }),
        Block::says(format!(
            "The page of [{}]({}) has the same call in JavaScript, Python and PowerShell.",
            entry.route.name,
            reference::address(entry)
        )),
    ]);
    blocks
}

fn authentication(site: &Site<'_>) -> Vec<Block> {
    let unauthorized = serde_json::json!({ "error": site.invalid_token_message });
    vec![
        Block::says(
            "Every call carries a key as a Bearer token (RFC 6750), in exactly one `Authorization` field. Without a \
             good key nothing is answered, not even whether a path exists.",
        ),
        Block::Code(Code {
            label: "Header field",
            language: "http",
            text: format!("Authorization: Bearer ${VARIABLE}"),
        }),
        Block::says(format!(
            "A key is one word: `{0}_stg_` or `{0}_live_` for its environment, 43 letters and digits, and a checksum \
             of 6. It is shown once, when it is made; only a hash is kept, so nobody can look it up for you later.",
            site.brand
        )),
        Block::says("A key that is missing, unknown, expired or revoked gets the same answer:"),
        Block::Code(Code { label: "401", language: "json", text: pretty(&unauthorized) }),
        Block::Heading("Keep it secret".to_owned()),
        Block::list([
            "Keys work for whoever holds them. Give them to servers, never to browsers, apps or repositories.",
            "Hold them in a secret manager or an environment variable, and leave them out of logs and screenshots.",
            "If one has leaked, have it revoked at once: it ends everywhere within moments, and open connections \
             that used it are closed.",
        ]),
        Block::Heading("Permissions".to_owned()),
        Block::says(
            "Each endpoint requires exactly one permission, such as `ping:read`, which its page names. A key holds \
             the permissions that it was made with. A call that lacks one gets \
             [403](/errors/permission-missing) with the name of what is missing.",
        ),
    ]
}

fn environments(site: &Site<'_>) -> Vec<Block> {
    let row = |environment: Environment, prefix: &str, purpose: &str| {
        let doors = site.doors.iter().filter(|door| door.environments.contains(environment.into()));
        let doors: Vec<_> = doors.map(|door| format!("`{}`", door.url)).collect();
        let doors = if doors.is_empty() { "not here".to_owned() } else { doors.join(", ") };
        vec![
            Text::from(format!("**{environment}**")),
            format!("`{}_{prefix}_`", site.brand).into(),
            doors.into(),
            purpose.into(),
        ]
    };
    vec![
        Block::says(
            "The key decides which environment a call is for, and answers name it as `env`. You get a key of its own for \
             each; neither works where only the other is served.",
        ),
        Block::Table(Table {
            label: "Environments",
            head: vec!["Environment", "Keys begin with", "Address", "Purpose"],
            rows: vec![
                row(
                    Environment::Staging,
                    "stg",
                    "A sandbox to develop and try things in. Previews of coming versions are answered here only.",
                ),
                row(Environment::Production, "live", "Live traffic of your customers."),
            ],
        }),
    ]
}

fn getting_keys() -> Vec<Block> {
    vec![
        Block::says("Access is given to partners one by one."),
        Block::Steps(vec![
            "**Ask.** Tell the team that runs this API what you want to build, which endpoints you need, and from which \
             networks you will call."
                .into(),
            "**Review.** The team looks at the use case, agrees the permissions with you and sets up what you need."
                .into(),
            "**Keys.** You receive two, one for staging and one for production, each with its own permissions and rate."
                .into(),
            "**Try.** Call the first endpoint with the key of staging. When all works, change the key, and nothing else."
                .into(),
        ]),
    ]
}

fn rotation() -> Vec<Block> {
    vec![
        Block::says(
            "Ask the team to rotate a key: you get a new one with the same rights. Without an overlap the old one ends \
             at once; with an overlap, of a day for example, both work until it has passed.",
        ),
        Block::Steps(vec![
            "Have the key rotated with an overlap.".into(),
            "Put the new key in place everywhere.".into(),
            "Let the old one run out, or have it revoked when nothing uses it any more.".into(),
        ]),
        Block::says(
            "A revoked key gets a 401 from the next call on, and connections on which it was used are closed.",
        ),
    ]
}

fn limits(site: &Site<'_>) -> Vec<Block> {
    vec![Block::says(format!(
        "A key has a rate; where nothing else was agreed it is {} calls per second, of which {} may come at once after \
         a pause. Every answer to a good key tells what is left in \
         `ratelimit` and the rate itself in `ratelimit-policy`. Beyond it there is [429](/errors/rate-limited) with \
         `retry-after` in seconds.",
        site.key_rate.per_second, site.key_rate.burst
    ))]
}

fn protocols() -> Vec<Block> {
    vec![Block::says(
        "HTTP/1.1, HTTP/2 and HTTP/3 give the same answers. Answers over the first two tell in `alt-svc` where HTTP/3 is \
         offered; clients that speak it move there by themselves. `GET` endpoints answer `HEAD` too, and every \
         endpoint answers `OPTIONS` with its methods in `allow`.",
    )]
}

fn versions_in_short(site: &Site<'_>) -> Vec<Block> {
    vec![
        Block::Table(versions::table(site, 8)),
        Block::says(
            "[Versions](/versions) tells what becomes of a date, the [changelog](/changelog) what each brought.",
        ),
    ]
}
