//! The paths of the portal, and what each accepts.

use crate::sites::page::Methods;

/// A path of the portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'p> {
    Account,
    EndDevice,
    EndSession,
    SignIn,
    Provider(&'p str),
    Callback(&'p str),
    Link(&'p str),
    SignOut,
    Access,
    AccessRequest(&'p str),
    Withdraw(&'p str),
    Claim(&'p str),
    Invitation(&'p str),
    Device,
    DeviceCode,
    Token,
    Revoke,
    Metadata,
    Asset(&'p str),
}

impl<'p> Route<'p> {
    pub(super) fn of(path: &'p str) -> Option<Self> {
        Some(match path {
            "/" => Self::Account,
            "/devices/end" => Self::EndDevice,
            "/sessions/end" => Self::EndSession,
            "/sign-in" => Self::SignIn,
            "/sign-out" => Self::SignOut,
            "/access" => Self::Access,
            "/auth/device" => Self::Device,
            "/oauth/device/code" => Self::DeviceCode,
            "/oauth/token" => Self::Token,
            "/oauth/revoke" => Self::Revoke,
            "/.well-known/oauth-authorization-server" => Self::Metadata,
            "/style.css" | "/favicon.svg" => Self::Asset(&path[1..]),
            _ => {
                let of = |start| path.strip_prefix(start).filter(|code: &&str| !code.is_empty());
                let one = |code: &&str| !code.contains('/');
                if let Some(rest) = of("/access/") {
                    return match rest.split_once('/') {
                        None => Some(Self::AccessRequest(rest)),
                        Some((code, "withdraw")) if !code.is_empty() => Some(Self::Withdraw(code)),
                        Some(_) => None,
                    };
                }
                if let Some(code) = of("/claim/") {
                    return Some(code).filter(one).map(Self::Claim);
                }
                if let Some(code) = of("/invitation/") {
                    return Some(code).filter(one).map(Self::Invitation);
                }
                let rest = path.strip_prefix("/sign-in/")?;
                match rest.split_once('/') {
                    None if !rest.is_empty() => Self::Provider(rest),
                    Some((provider, "callback")) if !provider.is_empty() => Self::Callback(provider),
                    Some(("link", code)) if !code.is_empty() && !code.contains('/') => Self::Link(code),
                    _ => return None,
                }
            }
        })
    }

    /// Its name in the metrics and the log, which must not have what only one person knows.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Account => "/",
            Self::EndDevice => "/devices/end",
            Self::EndSession => "/sessions/end",
            Self::SignIn => "/sign-in",
            Self::Provider(_) => "/sign-in/{provider}",
            Self::Callback(_) => "/sign-in/{provider}/callback",
            Self::Link(_) => "/sign-in/link/{code}",
            Self::SignOut => "/sign-out",
            Self::Access => "/access",
            Self::AccessRequest(_) => "/access/{code}",
            Self::Withdraw(_) => "/access/{code}/withdraw",
            Self::Claim(_) => "/claim/{code}",
            Self::Invitation(_) => "/invitation/{code}",
            Self::Device => "/auth/device",
            Self::DeviceCode => "/oauth/device/code",
            Self::Token => "/oauth/token",
            Self::Revoke => "/oauth/revoke",
            Self::Metadata => "/.well-known/oauth-authorization-server",
            Self::Asset(_) => "/style.css",
        }
    }

    pub(super) const fn methods(self) -> Methods {
        match self {
            Self::Account
            | Self::SignIn
            | Self::Provider(_)
            | Self::Callback(_)
            | Self::Metadata
            | Self::Asset(_) => Methods::Read,
            Self::Device
            | Self::Link(_)
            | Self::Access
            | Self::AccessRequest(_)
            | Self::Claim(_)
            | Self::Invitation(_) => Methods::ReadAndPost,
            Self::Withdraw(_)
            | Self::EndDevice
            | Self::EndSession
            | Self::SignOut
            | Self::DeviceCode
            | Self::Token
            | Self::Revoke => Methods::Post,
        }
    }

    /// The names of the fields of its form.
    pub(super) const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Access => &["organization", "contact", "email", "use_case", "staging", "production"],
            Self::AccessRequest(_) => &["text"],
            Self::Invitation(_) => &["name"],
            Self::Device => &["user_code", "action", "membership", "environment"],
            Self::EndDevice | Self::EndSession => &["id"],
            _ => &[],
        }
    }

    /// Whether its errors have the form of RFC 6749 §5.2.
    pub(super) const fn is_oauth(self) -> bool {
        matches!(self, Self::DeviceCode | Self::Token | Self::Revoke)
    }

    /// Whether no cookie authenticates its form, but the code in the path, or nothing.
    pub(super) const fn takes_no_cookie(self) -> bool {
        matches!(self, Self::Access | Self::AccessRequest(_) | Self::Withdraw(_) | Self::Claim(_))
    }
}
