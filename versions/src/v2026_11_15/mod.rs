//! 2026-11-15: an organization manages itself through the API: keys, members, roles, devices and the audit log.
//!
//! What every list has in common is in `list.rs`. The functions behind these endpoints, which decide what a caller may
//! reach, are [`crate::management::Management`].

pub mod access_requests;
pub mod audit;
pub mod decisions;
pub mod devices;
pub mod invitations;
pub mod keys;
pub mod list;
pub mod me;
pub mod members;
pub mod roles;

use crate::{Lifecycle, Release, Route, Version};

/// Where a caller of this version, or a later one, asks for a permission that it lacks.
pub const ACCESS_REQUESTS: &str = "/2026-11-15/access-requests.json";

/// The third version.
pub const RELEASE: Release = Release {
    added: &[
        Route::native::<me::Me>(),
        Route::native::<keys::ListKeys>(),
        Route::native::<keys::CreateKey>(),
        Route::native::<keys::ShowKey>(),
        Route::native::<keys::UpdateKey>(),
        Route::native::<keys::RotateKey>(),
        Route::native::<keys::RevokeKey>(),
        Route::native::<members::ListMembers>(),
        Route::native::<members::UpdateMember>(),
        Route::native::<members::RemoveMember>(),
        Route::native::<roles::ListRoles>(),
        Route::native::<roles::CreateRole>(),
        Route::native::<roles::UpdateRole>(),
        Route::native::<roles::RemoveRole>(),
        Route::native::<invitations::ListInvitations>(),
        Route::native::<invitations::CreateInvitation>(),
        Route::native::<invitations::RevokeInvitation>(),
        Route::native::<access_requests::ListAccessRequests>(),
        Route::native::<access_requests::CreateAccessRequest>(),
        Route::native::<access_requests::ShowAccessRequest>(),
        Route::native::<access_requests::AddToAccessRequest>(),
        Route::native::<access_requests::WithdrawAccessRequest>(),
        Route::native::<access_requests::ApproveAccessRequest>(),
        Route::native::<access_requests::AskAboutAccessRequest>(),
        Route::native::<access_requests::RejectAccessRequest>(),
        Route::native::<devices::ListDevices>(),
        Route::native::<devices::RevokeDevice>(),
        Route::native::<audit::ListAudit>(),
        Route::native::<decisions::ShowDecision>(),
    ],
    ..Release::new(
        Version::new(2026, 11, 15),
        "Manage your organization through the API: keys, members, roles, devices and the audit log.",
        Lifecycle::published(2026, 11, 15),
    )
};
