//! Organizations, members and their app tokens: made with the functions of provisioning on the gateway's data folder, as
//! the operator makes them beside the running server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gateway::clock::SystemClock;
use gateway::folder::DataFolder;
use gateway::provisioning::{
    self, Actor, Committed, NewInvitation, NewKey, NewMember, NewRequest, NewToken, Provisioning,
};
use gateway::store::Store;
use gateway::store::requests::{PerEnvironment, RequestFilter};
use jiff::SignedDuration;
use permissions::{
    ApiAccessPermission, Brand, BuiltInRole, Environment, MembershipId, OnRetired, PartnerId, RoleId, RoleOf,
    ServerSecret,
};

use crate::{Key, PATIENCE, Protocol, TestGateway, eventually, now};

/// How long the tokens of tests are valid.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
const BUSY: Duration = Duration::from_secs(10);

/// An organization of a test.
#[derive(Clone, Copy, Debug)]
pub struct Organization {
    /// Its id.
    pub id: PartnerId,
    /// The membership of its one owner.
    pub owner: MembershipId,
    /// A role that allows nothing, with the name `nobody`.
    pub nobody: RoleId,
}

/// Another process at a gateway's store, which may do everything.
pub struct People {
    store: Store,
    secret: ServerSecret,
    brand: Brand,
    /// Where the gateway speaks HTTP/1.1 in cleartext.
    plain: SocketAddr,
    /// The last change.
    change: i64,
    count: usize,
}

impl TestGateway {
    /// Opens its store beside it, with the secret under which it keeps keys and codes.
    ///
    /// # Panics
    /// When the store cannot be opened.
    pub fn store(&self) -> (Store, ServerSecret) {
        let folder = DataFolder::locate(Some(self.settings().data().to_owned())).expect("it was given one");
        Store::open_with_secret(&folder, BUSY).expect("the gateway has made it")
    }

    /// Opens its store for provisioning.
    ///
    /// # Panics
    /// When the store cannot be opened.
    pub fn people(&self) -> People {
        let (store, secret) = self.store();
        let brand = Brand::try_from("pgw".to_owned()).expect("it is the default brand");
        People { store, secret, brand, plain: self.address(Protocol::H1), change: 0, count: 0 }
    }
}

/// Every function panics where provisioning refuses: that is the test's mistake.
impl People {
    /// An organization with an owner, granted this in both environments.
    pub fn organization(&mut self, name: &str, granted: ApiAccessPermission) -> Organization {
        let operator = Actor::operator();
        let store = &mut self.store;
        let made =
            provisioning::create_partner(store, &SystemClock, &mut rand::rng(), &operator, name, false);
        let id = made.expect("the name is new").partner.id;
        for environment in Environment::ALL {
            self.grant(id, environment, granted);
        }
        let owner = self.member(id, RoleOf::BuiltIn(BuiltInRole::Owner));
        let nobody = self.role(id, "nobody", ApiAccessPermission::empty());
        Organization { id, owner, nobody }
    }

    /// Grants an organization exactly this.
    pub fn grant(&mut self, organization: PartnerId, environment: Environment, granted: ApiAccessPermission) {
        let name = organization.to_string();
        let store = &mut self.store;
        let change =
            provisioning::grant(store, &SystemClock, &Actor::operator(), &name, environment, granted);
        self.did(change.expect("it may be granted").change);
    }

    /// A new member of this role.
    pub fn member(&mut self, organization: PartnerId, role: RoleOf) -> MembershipId {
        self.count += 1;
        let (name, email) = (format!("Person {}", self.count), format!("person{}@example.com", self.count));
        let new = NewMember { name, email: Some(email), identity: None, organization, role };
        let operator = Actor::operator();
        let store = &mut self.store;
        let made = provisioning::create_user(store, &SystemClock, &mut rand::rng(), &operator, new);
        let (member, change) = made.expect("anybody may join");
        self.did(change);
        member.membership.id
    }

    /// Removes a member.
    pub fn remove(&mut self, member: MembershipId) {
        let removed = provisioning::remove_member(&mut self.store, &SystemClock, &Actor::operator(), member);
        self.did(removed.expect("the member may leave").1);
    }

    /// A role of an organization's own.
    pub fn role(&mut self, organization: PartnerId, name: &str, permissions: ApiAccessPermission) -> RoleId {
        let (store, rng) = (&mut self.store, &mut rand::rng());
        let operator = Actor::operator();
        let made =
            provisioning::create_role(store, &SystemClock, rng, &operator, organization, name, permissions);
        let (role, change) = made.expect("the name is new there");
        self.did(change);
        role.id
    }

    /// An app token of a member who has authenticated just now.
    pub fn token(&mut self, membership: MembershipId, environment: Environment) -> Key {
        self.token_of_age(membership, environment, Duration::ZERO)
    }

    /// An app token of a member who authenticated this long ago.
    pub fn token_of_age(&mut self, membership: MembershipId, environment: Environment, age: Duration) -> Key {
        let age = SignedDuration::try_from(age).expect("an age is short");
        let (app, device) = ("tests".to_owned(), "a device".to_owned());
        let new =
            NewToken { membership, environment, app, device, authenticated: now() - age, lifetime: LIFETIME };
        let operator = Actor::operator();
        let (store, rng) = (&mut self.store, &mut rand::rng());
        let issued = provisioning::issue_token(store, &SystemClock, rng, &self.secret, &operator, &new);
        let issued = issued.expect("the member exists");
        self.did(issued.change);
        Key {
            id: issued.record.id.to_string(),
            key: issued.secret.expose().to_owned(),
            environment: environment.name().to_owned(),
            permissions: Vec::new(),
        }
    }

    /// A key of an organization.
    pub fn key(
        &mut self,
        organization: PartnerId,
        environment: Environment,
        permissions: ApiAccessPermission,
    ) -> Key {
        let new = NewKey {
            partner: organization.to_string(),
            name: "of a test".to_owned(),
            environment,
            permissions,
            not_before: None,
            expires: None,
            allow: Vec::new(),
            rate: None,
            on_retired: OnRetired::Refuse,
        };
        let created = Provisioning {
            actor: &Actor::operator(),
            store: &mut self.store,
            secret: &self.secret,
            brand: &self.brand,
            clock: &SystemClock,
            rng: &mut rand::rng(),
        }
        .create(new)
        .expect("the operator may create any key");
        self.did(created.change);
        Key {
            id: created.record.id.to_string(),
            key: created.secret.expose().to_owned(),
            environment: environment.name().to_owned(),
            permissions: permissions.names().collect(),
        }
    }

    /// An owner of the operator's organization, who may review access requests; once.
    pub fn reviewer(&mut self) -> Key {
        let organization = self.operator();
        let owner = self.member(organization, RoleOf::BuiltIn(BuiltInRole::Owner));
        // What is approved may be of production.
        self.token(owner, Environment::Production)
    }

    /// The operator's organization; once.
    pub fn operator(&mut self) -> PartnerId {
        let (store, rng) = (&mut self.store, &mut rand::rng());
        let made =
            provisioning::create_partner(store, &SystemClock, rng, &Actor::operator(), "the operator", true);
        let made = made.expect("there is none yet");
        self.did(made.change);
        made.partner.id
    }

    /// An open invitation to an organization; returns its id.
    pub fn invitation(&mut self, organization: Organization) -> String {
        let new = NewInvitation {
            organization: organization.id,
            email: None,
            role: RoleOf::Custom(organization.nobody),
            lifetime: LIFETIME,
        };
        let (store, rng) = (&mut self.store, &mut rand::rng());
        let made = provisioning::invite(store, &SystemClock, rng, &self.secret, &Actor::operator(), &new);
        let made = made.expect("there is room for it");
        self.did(made.change);
        made.invitation.id.to_string()
    }

    /// An open access request of somebody without an organization; returns its id.
    pub fn request_of_a_stranger(&mut self) -> String {
        let name = format!("stranger {}", uuid::Uuid::from_u128(rand::random()));
        self.file(&Actor::contact(None), &name)
    }

    /// An open access request of an organization; returns its id. Those that were made long before are rejected.
    pub fn request(&mut self, organization: Organization) -> String {
        let operator = Actor::operator();
        let filter = RequestFilter {
            organization: Some(organization.id),
            is_open: true,
            count: provisioning::LIST_MAX,
            ..RequestFilter::default()
        };
        let open = provisioning::list_requests(&mut self.store, &operator, filter).expect("it is listed");
        // There is room for a few.
        for request in open.iter().rev().skip(5) {
            let (store, clock) = (&mut self.store, &SystemClock);
            let rejected = provisioning::reject_request(store, clock, &operator, request.id, "another comes");
            self.did(rejected.expect("it is open").1);
        }
        let member =
            self.store.member(organization.owner).expect("it can be read").expect("there is an owner");
        let owner = Actor::member(&member.membership, Environment::Production, now(), None);
        self.file(&owner, "")
    }

    fn file(&mut self, actor: &Actor, organization: &str) -> String {
        let wanted = ApiAccessPermission::CONNECTION_READ;
        let new = NewRequest {
            organization: organization.to_owned(),
            contact: "Ada".to_owned(),
            email: "ada@example.com".to_owned(),
            use_case: "A test.".to_owned(),
            wanted: PerEnvironment { staging: wanted, production: wanted },
        };
        let (store, rng) = (&mut self.store, &mut rand::rng());
        let filed = provisioning::file_request(store, &SystemClock, rng, &self.secret, actor, &new, 1_000);
        let filed = filed.expect("the organization lacks it");
        self.did(filed.change);
        filed.request.id.to_string()
    }

    /// A call of an organization that the gateway has refused; returns its request id.
    pub fn refused_call(&mut self, organization: PartnerId) -> String {
        let key = self.key(organization, Environment::Staging, ApiAccessPermission::ME_READ);
        let call = format!(
            "GET /2026-02-01/ping.json HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\nconnection: close\r\n\r\n",
            self.plain,
            key.bearer()
        );
        // Until the server knows the key.
        for _ in 0..1_000 {
            let mut stream = TcpStream::connect(self.plain).expect("the gateway listens");
            stream.write_all(call.as_bytes()).expect("it reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("it answers");
            if answer.starts_with("HTTP/1.1 403 ") {
                let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: "));
                return id.expect("every response has an id").to_owned();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the gateway does not learn of a key");
    }

    /// The store itself.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Waits until the running server has applied everything that was done here.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn applied(&mut self) {
        let change = self.change;
        let applied = eventually(PATIENCE, async || {
            let receipts = self.store.receipts(change).expect("the store can be read");
            (!receipts.is_empty()).then_some(())
        });
        applied.await.expect("the server follows the store");
    }

    fn did(&mut self, change: Committed) {
        // Lists are in the order of ids, which have a millisecond and then chance: the next thing is of a later one.
        std::thread::sleep(Duration::from_millis(1));
        self.change = self.change.max(change.change);
    }
}
