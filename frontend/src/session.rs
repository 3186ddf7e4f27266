//! Who is signed in.

use drover_api::{GlobalRole, Session, SessionUser, SetupState, SignedOut};
use leptos::{prelude::*, task::spawn_local};

use crate::api::{self, ApiError};

/// Whether somebody is signed in.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionState {
    /// Not known yet.
    Loading,
    /// Nobody, and the first administrator is still to be made.
    SetupRequired,
    /// Nobody.
    SignedOut,
    /// This user.
    SignedIn(Session),
    /// The server could not be asked.
    Failed(ApiError),
}

/// The app's session.
#[derive(Clone, Copy)]
pub struct SessionContext {
    state: RwSignal<SessionState>,
}

/// The app's session.
pub fn use_session() -> SessionContext {
    expect_context()
}

impl SessionContext {
    /// Asks the server who is signed in.
    pub fn provide() -> Self {
        let session = Self { state: RwSignal::new(SessionState::Loading) };
        provide_context(session);
        thread_local! {
            static STATE: std::cell::Cell<Option<RwSignal<SessionState>>> = const { std::cell::Cell::new(None) };
        }
        STATE.set(Some(session.state));
        api::on_signed_out(|| {
            if let Some(state) = STATE.get()
                && state.with_untracked(|state| matches!(state, SessionState::SignedIn(_)))
            {
                state.set(SessionState::SignedOut);
            }
        });
        session.load();
        session
    }

    /// Asks the server (again) who is signed in.
    pub fn load(self) {
        spawn_local(async move {
            let state = match api::get("session").json::<Session>().await {
                Ok(session) => {
                    api::set_csrf_token(session.csrf_token.clone());
                    SessionState::SignedIn(session)
                }
                Err(error) if error.status == 401 => {
                    match api::get("setup").json::<SetupState>().await {
                        Ok(setup) if setup.required => SessionState::SetupRequired,
                        Ok(_) => SessionState::SignedOut,
                        Err(error) => SessionState::Failed(error),
                    }
                }
                Err(error) => SessionState::Failed(error),
            };
            self.state.set(state);
        });
    }

    /// Whether somebody is signed in.
    pub fn state(self) -> SessionState {
        self.state.get()
    }

    /// Takes over the session that a sign-in or the set-up answered with.
    pub fn opened(self, session: Session) {
        api::set_csrf_token(session.csrf_token.clone());
        self.state.set(SessionState::SignedIn(session));
    }

    /// Signs out, here or everywhere.
    pub async fn sign_out(self, everywhere: bool) -> api::Result<()> {
        let path = if everywhere { "session/all" } else { "session" };
        let answer = api::delete(path).text().await?;
        api::set_csrf_token(None);
        // The provider wants to hear of it too: its page sends the browser back.
        let away = api::read::<SignedOut>(&answer).ok().and_then(|out| out.redirect);
        match away.filter(|to| to.starts_with("https://") || to.starts_with("http://")) {
            Some(to) => _ = window().location().set_href(&to),
            None => self.state.set(SessionState::SignedOut),
        }
        Ok(())
    }

    /// Who is signed in.
    pub fn user(self) -> Option<SessionUser> {
        self.state.with(|state| match state {
            SessionState::SignedIn(session) => Some(session.user.clone()),
            _ => None,
        })
    }

    /// Whether the user is an administrator.
    pub fn is_admin(self) -> bool {
        self.user().is_some_and(|user| user.global_role == GlobalRole::Admin)
    }
}
