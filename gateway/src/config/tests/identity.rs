//! Identity providers: what each needs, and that the documented example is what the reader takes.

use permissions::Environment;

use super::problems::problems_of;
use super::*;

const CORP: &str = "[identity.providers.corp]\nissuer = \"https://id.example.com\"\naudience = \"api\"\n";

/// The commented example of the defaults file, as a configuration.
fn documented() -> Config {
    let start = DEFAULTS.find("#   [identity.providers.corp]").expect("the example is there");
    let lines = DEFAULTS[start..].lines().take_while(|line| line.starts_with("#   "));
    let text: Vec<&str> = lines.map(|line| &line[4..]).collect();
    read_text(&text.join("\n")).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_provider_needs_an_issuer_and_an_audience_only() {
    let config = read_text(CORP).unwrap();
    let corp = &config.identity.providers["corp"];
    assert_eq!((corp.issuer.as_str(), corp.audience.as_str()), ("https://id.example.com", "api"));
    let rest =
        Provider { issuer: corp.issuer.clone(), audience: corp.audience.clone(), ..Provider::default() };
    assert_eq!(*corp, rest);
    assert_eq!(corp.environment, Environment::Staging);
    assert!(defaults().identity.providers.is_empty());
}

#[test]
fn the_documented_example_has_every_option_with_its_default() {
    let config = documented();
    let corp = config.identity.providers["corp"].clone();
    let example = Provider {
        issuer: "https://id.example.com".to_owned(),
        audience: "https://api.example.com".to_owned(),
        organizations: [("partner-a".to_owned(), "acme".to_owned())].into(),
        email_domains: vec!["example.com".to_owned()],
        ..Provider::default()
    };
    // A claim is only there because organizations need one.
    assert_eq!(Provider { organization_claim: String::new(), ..corp }, example);
    let written = toml::Table::try_from(Provider::default()).unwrap();
    for option in written.keys() {
        assert!(DEFAULTS.contains(&format!("\n#   {option} = ")), "{option} is not documented");
    }
}

#[test]
fn a_provider_that_is_printed_loads_again() {
    let text = format!(
        "{CORP}environment = \"production\"\nalgorithms = [\"ES384\"]\nclock_leeway = \"5m\"\n\
         organization_claim = \"https://example.com/org\"\norganizations = {{ \"a b.c\" = \"acme\" }}\n\
         email_domains = [\"Example.com\"]\nclient_id = \"gateway\"\nclient_secret_file = \"/secret\"\n"
    );
    let config = read_text(&text).unwrap();
    assert_eq!(config.identity.providers["corp"].email_domains, ["example.com"]);
    let printed = toml::to_string(&config).unwrap();
    assert_eq!(read_text(&printed).unwrap(), config, "{printed}");
}

#[test]
fn the_environment_can_set_a_provider() {
    let variable =
        |name: &str, value: &str| (format!("GATEWAY__IDENTITY__PROVIDERS__{name}"), value.to_owned());
    let environment = vec![
        variable("CORP__ISSUER", "https://id.example.com"),
        variable("CORP__AUDIENCE", "api"),
        variable("CORP__CLOCK_LEEWAY", "10s"),
    ];
    let config = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
    assert_eq!(config.identity.providers["corp"].clock_leeway, Duration::from_secs(10));
}

#[test]
fn a_provider_that_cannot_work_is_refused_with_the_remedy() {
    for (line, expected) in [
        ("issuer = \"http://id.example.com\"", "is accepted only for this machine"),
        ("jwks_url = \"http://10.0.0.1/keys\"", "is accepted only for this machine"),
        ("algorithms = [\"HS256\"]", "unknown variant `HS256`"),
        ("algorithms = [\"none\"]", "unknown variant `none`"),
        ("algorithms = []", "`identity.providers.corp.algorithms` is empty"),
        ("clock_leeway = \"6m\"", "from 0s to 5m"),
        ("refresh_interval_min = \"0s\"", "from 1s to 1h"),
        ("refresh_interval = \"1m\"\nrefresh_interval_min = \"2m\"", "must be at most"),
        ("environment = \"test\"", "unknown variant `test`"),
        (
            "organizations = { a = \"b\" }",
            "no claim has their values | set `identity.providers.corp.organization_claim`",
        ),
        ("client_secret_file = \"s\"", "no client id | set `identity.providers.corp.client_id`"),
        ("client_id = \"a\"\nscopes = [\"email\"]", "lacks \"openid\""),
        ("email_domains = [\"@example.com\"]", "the domain of e-mail addresses"),
        ("organisation_claim = \"org\"", "did you mean `organization_claim`?"),
        ("[identity.providers.corp.organizations]\na = 1", "invalid type: integer `1`, expected a string"),
        (
            "[identity.providers.two]\nissuer = \"https://id.example.com\"\naudience = \"api\"",
            "has the issuer and the audience of `identity.providers.corp`",
        ),
        (
            "[identity.providers.two]\naudience = \"api\"",
            "`identity.providers.two.issuer` is missing or empty",
        ),
        (
            "[identity.providers.two]\nissuer = \"https://b.example.com\"",
            "`identity.providers.two.audience` is missing or empty",
        ),
        (
            "[identity.providers.\"Two\"]\nissuer = \"https://b.example.com\"\naudience = \"api\"",
            "is not a name",
        ),
    ] {
        let text = match line.split_once(" = ") {
            // An option that is set already is replaced.
            Some(("issuer", _)) => format!("[identity.providers.corp]\naudience = \"api\"\n{line}\n"),
            _ => format!("{CORP}{line}\n"),
        };
        let problems = problems_of(&text);
        assert!(problems.concat().contains(expected), "{line}: {problems:?}");
    }
}

#[test]
fn one_issuer_may_have_an_audience_for_each_environment() {
    let text = format!(
        "{CORP}[identity.providers.live]\nissuer = \"https://id.example.com\"\naudience = \"live\"\nenvironment = \"production\"\n"
    );
    assert_eq!(read_text(&text).unwrap().identity.providers.len(), 2);
}
