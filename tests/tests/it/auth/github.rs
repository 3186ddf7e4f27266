//! The adapter of GitHub, against a stand-in written from GitHub's documentation.

use std::time::Duration;

use drover_api::{GithubConfig, TestStepKind};
use drover_server::providers::{
    Attempt, Callback, Door, IdentityProvider, Known, Named, Person, ProviderError, RedirectDoor,
    Refusal, Scheme, Steps, github::Github,
};
use drover_tests::{FakeGithub, GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET, Trouble, http_client};
use secrecy::SecretString;

fn adapter_with(github: &FakeGithub, secret: &str) -> Github {
    let config = GithubConfig {
        url: github.url().into(),
        client_id: GITHUB_CLIENT_ID.into(),
        ..GithubConfig::new()
    };
    Github::new(&config, Some(secret.to_owned().into())).unwrap()
}

fn adapter(github: &FakeGithub) -> Github {
    adapter_with(github, GITHUB_CLIENT_SECRET)
}

fn attempt() -> Attempt {
    Attempt {
        state: "state-of-the-browser".into(),
        nonce: "nonce".into(),
        pkce_verifier: "v".repeat(43),
        redirect_uri: "http://127.0.0.1:1/callback".into(),
    }
}

fn door(adapter: &Github) -> &dyn RedirectDoor {
    let Door::Redirect(door) = adapter.door() else { panic!("GitHub takes no passwords") };
    door
}

/// Goes to GitHub's page, presses the button, and comes back with a code.
async fn code(github: &FakeGithub, adapter: &Github, login: &str) -> Callback {
    let begin = door(adapter).begin(&attempt()).await.unwrap();
    let back = github.sign_in(&begin, login).await;
    assert_eq!(back["state"], attempt().state);
    Callback { code: back["code"].clone(), iss: None }
}

async fn finish(adapter: &Github, callback: &Callback) -> Result<Person, ProviderError> {
    door(adapter).finish(&attempt(), callback, &mut Steps::begin()).await
}

async fn sign_in(github: &FakeGithub, adapter: &Github, login: &str) -> Person {
    finish(adapter, &code(github, adapter, login).await).await.unwrap()
}

fn known(person: &Person) -> Known {
    Known {
        id: person.id.clone(),
        login: person.login.clone(),
        credential: person.credential.clone().map(|credential| credential.0),
    }
}

fn names(person: &Person, scheme: Scheme) -> Vec<&str> {
    let of_scheme = person.groups.iter().filter(|group| group.scheme == scheme);
    of_scheme.map(|group| group.name.as_str()).collect()
}

#[tokio::test]
async fn a_person_comes_in_with_organisations_and_teams() {
    let github = FakeGithub::start().await;
    let grace = github.add_user("grace");
    let example = github.add_organisation("example");
    github.add_organisation("elsewhere");
    let engineering = github.add_team(example, "Engineering", None);
    let platform = github.add_team(example, "Platform Team", Some(engineering));
    github.join_team(grace, platform);

    let adapter = adapter(&github);
    let callback = code(&github, &adapter, "grace").await;
    let mut steps = Steps::begin();
    let person = door(&adapter).finish(&attempt(), &callback, &mut steps).await.unwrap();
    assert_eq!(person.id, grace.to_string());
    assert_eq!(person.login, "grace");
    assert_eq!(person.display_name, "grace of GitHub");
    assert_eq!(person.email.as_deref(), Some("grace@example.com"));
    assert_eq!(names(&person, Scheme::Organisation), ["example"]);
    // The team above counts, too.
    assert_eq!(names(&person, Scheme::Team), ["example / Engineering", "example / Platform Team"]);
    let team = person.groups.iter().find(|group| group.id == platform.to_string()).unwrap();
    assert_eq!(team.detail.as_deref(), Some("example/platform-team"));
    let steps = steps.into_steps();
    let kinds: Vec<_> = steps.iter().map(|step| (step.step, step.ok)).collect();
    assert_eq!(
        kinds,
        [(TestStepKind::Token, true), (TestStepKind::User, true), (TestStepKind::Groups, true)]
    );
    assert!(steps[2].message.contains("Organisations: 1, teams: 2"), "{}", steps[2].message);
}

#[tokio::test]
async fn a_renamed_login_stays_and_a_recycled_one_is_somebody_else() {
    let github = FakeGithub::start().await;
    let grace = github.add_user("grace");
    let adapter = adapter(&github);
    let before = sign_in(&github, &adapter, "grace").await;
    github.rename(grace, "admiral");
    let somebody = github.add_user("grace");

    let after = adapter.refresh(&known(&before)).await.unwrap();
    assert_eq!((after.id, after.login.as_str()), (before.id.clone(), "admiral"));
    assert_eq!(sign_in(&github, &adapter, "admiral").await.id, before.id);
    let other = sign_in(&github, &adapter, "grace").await;
    assert_eq!(other.id, somebody.to_string());
    assert_ne!(other.id, before.id);
    // The token of one account says nothing of another.
    let mixed = Known { id: before.id, ..known(&other) };
    assert!(matches!(adapter.refresh(&mixed).await, Err(ProviderError::Protocol(_))));
}

#[tokio::test]
async fn a_code_is_good_once_and_for_the_browser_that_began() {
    let github = FakeGithub::start().await;
    github.add_user("grace");
    let adapter = adapter(&github);
    let callback = code(&github, &adapter, "grace").await;
    finish(&adapter, &callback).await.unwrap();
    let again = finish(&adapter, &callback).await.unwrap_err();
    assert!(matches!(&again, ProviderError::Protocol(why) if why.contains("used before")));

    let callback = code(&github, &adapter, "grace").await;
    let other = Attempt { pkce_verifier: "w".repeat(43), ..attempt() };
    let mut steps = Steps::begin();
    let stolen = door(&adapter).finish(&other, &callback, &mut steps).await;
    assert!(matches!(stolen, Err(ProviderError::Protocol(_))), "{stolen:?}");
    let steps = steps.into_steps();
    assert_eq!((steps.len(), steps[0].step, steps[0].ok), (1, TestStepKind::Token, false));
}

#[tokio::test]
async fn all_pages_are_read_and_only_from_the_same_server() {
    let github = FakeGithub::start().await;
    let grace = github.add_user("grace");
    let example = github.add_organisation("example");
    for number in 0..250 {
        let team = github.add_team(example, &format!("Team {number:03}"), None);
        github.join_team(grace, team);
    }
    let adapter = adapter(&github);
    let person = sign_in(&github, &adapter, "grace").await;
    assert_eq!(names(&person, Scheme::Team).len(), 250);
    let pages = |asked: &[String]| asked.iter().filter(|one| one.contains("/user/teams")).count();
    assert_eq!(pages(&github.asked()), 3);

    github.set_trouble(Trouble::ForeignPages);
    let error = adapter.refresh(&known(&person)).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Protocol(why) if why.contains("another server")));
    // More than anybody has: not the first of them alone.
    github.set_trouble(Trouble::None);
    for number in 250..2001 {
        let team = github.add_team(example, &format!("Team {number}"), None);
        github.join_team(grace, team);
    }
    let error = adapter.refresh(&known(&person)).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Protocol(why) if why.contains("20 pages")), "{error}");
}

#[tokio::test]
async fn a_refresh_sees_who_has_left() {
    let github = FakeGithub::start().await;
    let grace = github.add_user("grace");
    let example = github.add_organisation("example");
    let platform = github.add_team(example, "Platform", None);
    github.join_team(grace, platform);
    let adapter = adapter(&github);
    let person = sign_in(&github, &adapter, "grace").await;
    assert_eq!(names(&person, Scheme::Team).len(), 1);
    github.leave_team(grace, platform);
    let person = adapter.refresh(&known(&person)).await.unwrap();
    assert!(names(&person, Scheme::Team).is_empty());
    github.suspend(grace);
    let error = adapter.refresh(&known(&person)).await.unwrap_err();
    assert_eq!(error, ProviderError::Refused(Refusal::Disabled));
}

#[tokio::test]
async fn limits_failures_and_revoked_tokens_are_told_apart() {
    let github = FakeGithub::start().await;
    let grace = github.add_user("grace");
    let adapter = adapter(&github);
    let person = known(&sign_in(&github, &adapter, "grace").await);

    github.set_trouble(Trouble::RateLimit(1200));
    let error = adapter.refresh(&person).await.unwrap_err();
    let ProviderError::RateLimited { retry_after: Some(wait), message } = error else {
        panic!("{error:?}");
    };
    assert!((1190..=1201).contains(&wait.as_secs()), "{wait:?}");
    assert!(message.contains("/api/v3/user"), "{message}");

    github.set_trouble(Trouble::SecondaryLimit(90));
    let error = adapter.refresh(&person).await.unwrap_err();
    assert!(
        matches!(&error, ProviderError::RateLimited { retry_after: Some(wait), .. }
            if *wait == Duration::from_secs(90)),
        "{error:?}"
    );

    github.set_trouble(Trouble::Down);
    let error = adapter.refresh(&person).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Unavailable(why) if why.contains("503")), "{error:?}");

    github.set_trouble(Trouble::None);
    adapter.refresh(&person).await.unwrap();
    github.revoke_tokens(grace);
    let error = adapter.refresh(&person).await.unwrap_err();
    assert!(matches!(error, ProviderError::TokenRevoked(_)), "{error:?}");

    let without = Known { credential: None, ..person };
    assert_eq!(adapter.refresh(&without).await, Err(ProviderError::CannotRefresh));
}

#[tokio::test]
async fn tokens_that_end_are_renewed_once_each_and_not_lost() {
    let github = FakeGithub::start().await;
    let grace = github.add_user("grace");
    // Less than what counts as about to end.
    github.set_token_seconds(30);
    let adapter = adapter(&github);
    let first = sign_in(&github, &adapter, "grace").await;
    // The refresh token is used up, and then the API fails.
    github.set_trouble(Trouble::Down);
    let failed = adapter.refresh(&known(&first)).await.unwrap_err();
    assert!(matches!(failed, ProviderError::Unavailable(_)), "{failed:?}");
    github.set_trouble(Trouble::None);
    let second = adapter.refresh(&known(&first)).await.unwrap();
    let third = adapter.refresh(&known(&second)).await.unwrap();
    assert_eq!(third.id, grace.to_string());
    // A used refresh token is as good as none.
    let error = adapter.refresh(&known(&first)).await.unwrap_err();
    assert!(matches!(error, ProviderError::TokenRevoked(_)), "{error:?}");
}

#[tokio::test]
async fn a_search_finds_people_and_organisations() {
    let github = FakeGithub::start().await;
    let grace = github.add_user("grace");
    github.add_user("heidi");
    let graceful = github.add_organisation("graceful");
    let adapter = adapter(&github);
    let found = adapter.search("Grac", 20).await.unwrap().unwrap();
    let found: Vec<_> = found.iter().map(|one| (one.scheme, one.id.clone())).collect();
    let (grace, graceful) = (grace.to_string(), graceful.to_string());
    assert_eq!(found, [(Scheme::User, grace.clone()), (Scheme::Organisation, graceful.clone())]);
    // Conditions in the text are words.
    let none = adapter.search("heidi type:org grace", 20).await.unwrap().unwrap();
    assert_eq!(none, []);
    assert_eq!(adapter.search(":::", 20).await.unwrap().unwrap(), []);

    let named: Named = adapter.find(Scheme::User, &grace).await.unwrap().unwrap();
    assert_eq!(named.login.as_deref(), Some("grace"));
    let named = adapter.find(Scheme::Organisation, &graceful).await.unwrap().unwrap();
    assert_eq!(named.name, "graceful");
    assert_eq!(adapter.find(Scheme::User, "1").await.unwrap(), None);
    assert_eq!(adapter.find(Scheme::User, "../user").await.unwrap(), None);
    assert_eq!(adapter.find(Scheme::Team, "1").await.unwrap(), None);
    github.set_trouble(Trouble::RateLimit(60));
    let error = adapter.search("grace", 20).await.unwrap_err();
    assert!(matches!(error, ProviderError::RateLimited { .. }), "{error:?}");
}

#[tokio::test]
async fn a_test_tells_a_wrong_secret_from_a_server_that_is_not_there() {
    let github = FakeGithub::start().await;
    let mut steps = Steps::begin();
    adapter(&github).probe(&mut steps).await.unwrap();
    let kinds: Vec<_> = steps.into_steps().iter().map(|step| (step.step, step.ok)).collect();
    assert_eq!(
        kinds,
        [(TestStepKind::Connection, true), (TestStepKind::Tls, true), (TestStepKind::Client, true)]
    );

    let mut steps = Steps::begin();
    let error = adapter_with(&github, "wrong").probe(&mut steps).await.unwrap_err();
    assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
    let last = steps.into_steps().pop().unwrap();
    assert_eq!((last.step, last.ok), (TestStepKind::Client, false));
    assert!(!last.message.contains("wrong"), "{}", last.message);

    // The discard port: nothing listens there.
    let config = GithubConfig {
        url: "http://127.0.0.1:9".into(),
        client_id: GITHUB_CLIENT_ID.into(),
        ..GithubConfig::new()
    };
    let nowhere = Github::new(&config, Some(SecretString::from("secret"))).unwrap();
    let mut steps = Steps::begin();
    let error = nowhere.probe(&mut steps).await.unwrap_err();
    assert!(matches!(error, ProviderError::Unavailable(_)), "{error:?}");
    let steps = steps.into_steps();
    assert_eq!((steps.len(), steps[0].step, steps[0].ok), (1, TestStepKind::Connection, false));
}

#[tokio::test]
async fn github_says_what_is_wrong_with_the_app() {
    let github = FakeGithub::start().await;
    github.add_user("grace");
    let adapter = adapter(&github);
    let begin = door(&adapter).begin(&attempt()).await.unwrap();
    // Without a challenge there is no code.
    let bare = begin.replace("code_challenge_method=S256", "");
    assert_eq!(github.sign_in(&bare, "grace").await["error"], "invalid_request");
    github.set_callback("https://drover.example.com/callback");
    let back = github.sign_in(&begin, "grace").await;
    assert_eq!(back["error"], "redirect_uri_mismatch");
    let unknown = begin.replace(GITHUB_CLIENT_ID, "unknown");
    let http = http_client().build().unwrap();
    assert_eq!(http.get(unknown).send().await.unwrap().status(), 404);
}
