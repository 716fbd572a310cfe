//! Which options exist: those of the compiled-in defaults.
//!
//! Each layer is compared with the tree of the defaults before it is deserialized, so that all unknown names of all
//! layers are reported at once, each with its location.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{PROBLEMS_MAX, Problem, closest};

/// The options of sections of which the defaults have none: those whose names the operator chooses, and the sites of
/// a listener.
const NAMED: &str = "
[certificates]
chain_file = \"\"
key_file = \"\"
[versions]
published = \"\"
deprecated = \"\"
sunset = \"\"
[providers]
issuer = \"\"
audience = \"\"
jwks_url = \"\"
environment = \"\"
algorithms = []
clock_leeway = \"\"
organization_claim = \"\"
email_domains = []
client_id = \"\"
client_secret_file = \"\"
scopes = []
refresh_interval = \"\"
refresh_interval_min = \"\"
ca_file = \"\"
connect_timeout = \"\"
request_timeout = \"\"
[providers.organizations]
[organization]
any = \"\"
[sites.api]
hosts = []
[sites.docs]
hosts = []
[sites.operations]
hosts = []
[sites.settings]
hosts = []
[sites.portal]
hosts = []
";

/// All options.
pub(super) struct Schema<'t> {
    defaults: DeValue<'t>,
    named: DeValue<'static>,
}

impl<'t> Schema<'t> {
    /// Takes the list of all options from the tree of the defaults.
    pub(super) fn new(defaults: DeTable<'t>) -> Self {
        let named = DeTable::parse(NAMED).map(Spanned::into_inner).unwrap_or_default();
        Self { defaults: DeValue::Table(defaults), named: DeValue::Table(named) }
    }

    /// The default of an option or a section, also of a listener, certificate or version whose name the operator chose;
    /// `None` if there is no such option.
    pub(super) fn expected(&self, path: &[impl AsRef<str>]) -> Option<&DeValue<'t>> {
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        let (root, rest) = match path.as_slice() {
            ["listeners", _, "serves", rest @ ..] if !rest.is_empty() => {
                (self.named.get("sites")?.get_ref(), rest)
            }
            ["listeners", _, rest @ ..] => {
                (self.defaults.get("listeners")?.get_ref().get("http")?.get_ref(), rest)
            }
            // The claim's values are the provider's.
            ["identity", "providers", _, "organizations", _] => {
                (self.named.get("organization")?.get_ref(), &["any"][..])
            }
            ["identity", "providers", _, rest @ ..] => (self.named.get("providers")?.get_ref(), rest),
            [section @ ("certificates" | "versions"), _, rest @ ..] => {
                (self.named.get(*section)?.get_ref(), rest)
            }
            rest => (&self.defaults, rest),
        };
        rest.iter().try_fold(root, |value, name| value.get(*name).map(Spanned::get_ref))
    }

    /// The options and sections within a section.
    fn within(&self, section: &[String]) -> Option<&DeTable<'t>> {
        if is_serves(section) {
            return self.named.get("sites")?.get_ref().as_table();
        }
        self.expected(section).and_then(DeValue::as_table)
    }

    /// Whether the value of an option is text, so that a variable or a flag need not quote it; the value itself may
    /// make it a list.
    pub(super) fn is_text(&self, path: &[impl AsRef<str>], value: Option<&DeValue<'_>>) -> bool {
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        let is_list = matches!(value, Some(DeValue::Array(_)));
        let takes_list = matches!(path[..], ["listeners", _, "certificate"]);
        self.expected(&path).is_some_and(DeValue::is_str) && !(takes_list && is_list)
    }

    /// The default of an option with its span in the defaults, if it is in them.
    pub(super) fn default_of(&self, path: &[String]) -> Option<&Spanned<DeValue<'t>>> {
        let (first, rest) = path.split_first()?;
        let root = self.defaults.get(first.as_str())?;
        rest.iter().try_fold(root, |value, name| value.get_ref().get(name.as_str()))
    }

    /// The option whose name consists of these words, separated by single underscores.
    pub(super) fn option_of_words(&self, words: &str) -> Option<Vec<String>> {
        for site in
            self.named.get("sites").and_then(|sites| sites.get_ref().as_table()).into_iter().flat_map(names)
        {
            let inside = words.strip_prefix("listeners_");
            let name = inside.and_then(|inside| inside.strip_suffix(&format!("_serves_{site}_hosts")));
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                return Some(["listeners", name, "serves", site, "hosts"].map(str::to_owned).to_vec());
            }
        }
        // The name of a listener or certificate is between the section's and the option's.
        for section in ["listeners", "certificates"] {
            let inside = words.strip_prefix(section).and_then(|rest| rest.strip_prefix('_'));
            let options = self.expected(&[section, "any"]).and_then(DeValue::as_table);
            for option in options.into_iter().flat_map(names) {
                let name = inside.and_then(|inside| inside.strip_suffix(option)?.strip_suffix('_'));
                if let Some(name) = name.filter(|name| !name.is_empty()) {
                    return Some([section, name, option].map(str::to_owned).to_vec());
                }
            }
        }
        option_of_words(self.defaults.as_table()?, words)
    }

    /// Removes unknown options from a layer and reports them.
    pub(super) fn check(&self, layer: DeTable<'t>, problems: &mut Vec<Problem>) -> DeTable<'t> {
        self.check_table(layer, &mut Vec::new(), problems)
    }

    fn check_table(
        &self,
        table: DeTable<'t>,
        path: &mut Vec<String>,
        problems: &mut Vec<Problem>,
    ) -> DeTable<'t> {
        let mut checked = DeTable::new();
        for (key, value) in table {
            path.push(key.get_ref().clone().into_owned());
            let span = value.span();
            match (self.expected(path), value.into_inner()) {
                // Similar names are looked for only for problems that are printed.
                (None, _) if problems.len() >= PROBLEMS_MAX => problems.push(Problem::new("unknown option")),
                (None, _) => problems.push(self.unknown(path).at(key.span(), "")),
                // What a listener serves is a list, or a section for each site.
                (Some(expected), DeValue::Table(inner))
                    if matches!(expected, DeValue::Table(_)) || is_serves(path) =>
                {
                    let inner = self.check_table(inner, path, problems);
                    checked.insert(key, Spanned::new(span, DeValue::Table(inner)));
                }
                (Some(DeValue::Table(_)), other) => {
                    let name = path.join(".");
                    let found = other.type_str();
                    let problem = Problem::new(format!("`{name}` is a section, not a single value"))
                        .at(span, format!("this is of type {found}"))
                        .about(path)
                        .help(format!("write `[{name}]` and its options below it"));
                    problems.push(problem);
                }
                (Some(_), DeValue::Table(_)) => {
                    let name = path.join(".");
                    problems.push(
                        Problem::new(format!("`{name}` is a single value, not a section"))
                            .at(span, "this is a table")
                            .about(path),
                    );
                }
                (Some(_), other) => {
                    checked.insert(key, Spanned::new(span, other));
                }
            }
            path.pop();
        }
        checked
    }

    fn unknown(&self, path: &[String]) -> Problem {
        let name = path.join(".");
        let Some((last, parent)) = path.split_last() else { return Problem::new("unknown option") };
        let problem = Problem::new(format!("unknown option `{name}`"));
        let siblings = || self.within(parent).into_iter().flat_map(names);
        if let Some(closest) = closest(last, siblings()) {
            let intended: Vec<&str> = parent.iter().map(String::as_str).chain([closest]).collect();
            return problem.help(format!("did you mean `{closest}`?")).about(&intended);
        }
        // The right name in the wrong section is as common as a typing error.
        let named = |section: &&str| matches!(*section, "listeners" | "certificates" | "versions");
        let mut sections = self.defaults.as_table().into_iter().flat_map(names).filter(|name| !named(name));
        let options = || siblings().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        problem.help(match sections.find(|section| self.expected(&[*section, last]).is_some()) {
            Some(section) => format!("`{last}` belongs to the section `[{section}]`"),
            None => format!("the options are {}", options()),
        })
    }
}

fn is_serves(path: &[String]) -> bool {
    matches!(path, [listeners, _, serves] if listeners == "listeners" && serves == "serves")
}

fn names<'a>(table: &'a DeTable<'_>) -> impl Iterator<Item = &'a str> {
    table.keys().map(|key| key.get_ref().as_ref())
}

fn option_of_words(table: &DeTable<'_>, words: &str) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref().as_ref();
        let rest = words.strip_prefix(name)?;
        match value.get_ref() {
            DeValue::Table(inner) => {
                let mut path = option_of_words(inner, rest.strip_prefix('_')?)?;
                path.insert(0, name.to_owned());
                Some(path)
            }
            _ => rest.is_empty().then(|| vec![name.to_owned()]),
        }
    })
}
