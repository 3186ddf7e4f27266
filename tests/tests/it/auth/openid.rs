//! The adapter of OpenID Connect: against a real provider, and against one that does what a
//! provider must not do.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use drover_api::{OpenidConfig, OpenidPreset, TestStepKind};
use drover_server::providers::{
    Attempt, Callback, Credential, Door, IdentityProvider, Known, Person, ProviderError,
    RedirectDoor, Scheme, Steps, openid::OpenId,
};
use drover_tests::{
    Certificates, HostileOpenid, OpenidPerson, OpenidProvider, OpenidSettings, Plan, Signer,
};
use reqwest::Url;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

const CALLBACK: &str = "http://127.0.0.1:1/callback";

fn config(issuer: &str) -> OpenidConfig {
    OpenidConfig {
        issuer: issuer.into(),
        client_id: OpenidProvider::CLIENT_ID.into(),
        provider_logout: true,
        ..OpenidConfig::preset(OpenidPreset::Generic)
    }
}

fn real(config: &OpenidConfig) -> OpenId {
    OpenId::new(config, Some(OpenidProvider::CLIENT_SECRET.into())).unwrap()
}

fn hostile_with(config: &OpenidConfig) -> OpenId {
    OpenId::new(config, Some(HostileOpenid::CLIENT_SECRET.into())).unwrap()
}

fn hostile(provider: &HostileOpenid) -> OpenId {
    hostile_with(&config(provider.issuer()))
}

fn attempt() -> Attempt {
    let random = || Uuid::new_v4().simple().to_string();
    Attempt {
        state: random(),
        nonce: random(),
        pkce_verifier: random() + &random(),
        redirect_uri: CALLBACK.into(),
    }
}

fn door(adapter: &OpenId) -> &dyn RedirectDoor {
    let Door::Redirect(door) = adapter.door() else { panic!("OpenID takes no passwords") };
    door
}

/// Goes to the provider, signs in there, and comes back with a code.
async fn code(provider: &OpenidProvider, adapter: &OpenId, login: &str) -> (Attempt, Callback) {
    let attempt = attempt();
    let begin = door(adapter).begin(&attempt).await.unwrap();
    let back = provider.sign_in(&begin, login).await;
    assert_eq!(back["state"], attempt.state);
    (attempt, Callback { code: back["code"].clone(), iss: back.get("iss").cloned() })
}

async fn sign_in(
    provider: &OpenidProvider,
    adapter: &OpenId,
    login: &str,
) -> Result<Person, ProviderError> {
    let (attempt, callback) = code(provider, adapter, login).await;
    door(adapter).finish(&attempt, &callback, &mut Steps::begin()).await
}

fn known(person: &Person) -> Known {
    Known {
        id: person.id.clone(),
        login: person.login.clone(),
        credential: person.credential.clone().map(|credential| credential.0),
    }
}

fn groups(person: &Person) -> Vec<&str> {
    assert!(person.groups.iter().all(|group| group.scheme == Scheme::Group));
    person.groups.iter().map(|group| group.name.as_str()).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

// ---- a real provider

#[tokio::test]
async fn a_person_comes_in_with_groups_and_goes_out_of_both() {
    let provider = OpenidProvider::start(OpenidSettings::default()).await;
    // Sessions have a name for clients that are told of their ends.
    provider.set_client(&[CALLBACK], &[], Some("http://127.0.0.1:9/logout")).await;
    let adapter = real(&config(provider.issuer()));
    let (attempt, callback) = code(&provider, &adapter, "grace").await;
    let mut steps = Steps::begin();
    let person = door(&adapter).finish(&attempt, &callback, &mut steps).await.unwrap();
    assert_eq!(person.id, "subject-of-grace");
    assert_eq!(person.login, "grace");
    assert_eq!(person.display_name, "grace at the provider");
    assert_eq!(person.email.as_deref(), Some("grace@example.com"));
    assert_eq!(groups(&person), ["platform-team", "readers"]);
    let steps = steps.into_steps();
    let kinds: Vec<_> = steps.iter().map(|step| step.step).collect();
    assert_eq!(
        kinds,
        [TestStepKind::Token, TestStepKind::IdToken, TestStepKind::User, TestStepKind::Groups]
    );
    assert!(steps.iter().all(|step| step.ok));

    let session = person.session.unwrap();
    assert!(session.id.is_some_and(|id| !id.is_empty()));
    let Credential(id_token) = session.id_token.unwrap();
    let back = "http://127.0.0.1:1/sign-in";
    let url = door(&adapter).sign_out_url(Some(id_token.expose_secret()), back).await.unwrap();
    let url = Url::parse(&url).unwrap();
    assert!(url.as_str().starts_with(provider.issuer()), "{url}");
    let given: Vec<_> = url.query_pairs().into_owned().collect();
    let names: Vec<_> = given.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["id_token_hint", "client_id", "post_logout_redirect_uri"]);
    assert_eq!(given[2].1, back);
    let keeps_it = OpenidConfig { provider_logout: false, ..config(provider.issuer()) };
    assert_eq!(door(&real(&keeps_it)).sign_out_url(None, back).await, None);
}

#[tokio::test]
async fn the_request_has_all_that_the_settings_say() {
    let provider = OpenidProvider::start(OpenidSettings::default()).await;
    let settings = OpenidConfig {
        prompt: "login consent".into(),
        scopes: vec!["openid".into(), "profile".into(), "groups".into()],
        ..config(provider.issuer())
    };
    let attempt = attempt();
    let url = door(&real(&settings)).begin(&attempt).await.unwrap();
    let url = Url::parse(&url).unwrap();
    let one = |name: &str| {
        let all: Vec<_> = url.query_pairs().filter(|(key, _)| key == name).collect();
        assert_eq!(all.len(), 1, "{name} in {url}");
        all[0].1.to_string()
    };
    assert_eq!(one("prompt"), "login consent");
    assert_eq!(one("scope"), "openid profile groups");
    assert_eq!(one("response_type"), "code");
    assert_eq!(one("state"), attempt.state);
    assert_eq!(one("nonce"), attempt.nonce);
    assert_eq!(one("code_challenge_method"), "S256");
    assert_eq!(one("code_challenge").len(), 43);
    assert_eq!(one("redirect_uri"), CALLBACK);
    assert!(!url.as_str().contains(&attempt.pkce_verifier), "the verifier is a secret");
}

#[tokio::test]
async fn a_code_is_good_once_and_with_its_verifier_and_from_its_provider() {
    let provider = OpenidProvider::start(OpenidSettings::default()).await;
    let adapter = real(&config(provider.issuer()));
    let finish = async |attempt: &Attempt, callback: &Callback| {
        door(&adapter).finish(attempt, callback, &mut Steps::begin()).await
    };
    let (attempt, callback) = code(&provider, &adapter, "grace").await;
    finish(&attempt, &callback).await.unwrap();
    let again = finish(&attempt, &callback).await.unwrap_err();
    assert!(matches!(&again, ProviderError::Protocol(why) if why.contains("used before")));

    let (attempt, callback) = code(&provider, &adapter, "grace").await;
    let other = Attempt { pkce_verifier: "x".repeat(64), ..attempt.clone() };
    assert!(matches!(finish(&other, &callback).await, Err(ProviderError::Protocol(_))));

    // The nonce of another sign-in.
    let (attempt, callback) = code(&provider, &adapter, "grace").await;
    let replayed = Attempt { nonce: "nonce-of-another".into(), ..attempt };
    let error = finish(&replayed, &callback).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Protocol(why) if why.contains("nonce")), "{error}");

    // A code that another provider has sent the browser with, and one that does not say.
    let (attempt, callback) = code(&provider, &adapter, "grace").await;
    assert_eq!(callback.iss.as_deref(), Some(provider.issuer()));
    let elsewhere = "https://elsewhere.example.com".to_owned();
    for iss in [Some(elsewhere), None] {
        let mixed = Callback { iss, ..callback.clone() };
        let error = finish(&attempt, &mixed).await.unwrap_err();
        assert!(matches!(&error, ProviderError::Protocol(why) if why.contains("iss")), "{error}");
    }
    finish(&attempt, &callback).await.unwrap();
}

#[tokio::test]
async fn keys_change_between_two_sign_ins_and_before_a_refresh() {
    let provider = OpenidProvider::start(OpenidSettings::default()).await;
    let adapter = real(&config(provider.issuer()));
    let first = sign_in(&provider, &adapter, "grace").await.unwrap();
    provider.rotate_keys().await;
    let second = sign_in(&provider, &adapter, "grace").await.unwrap();
    assert_eq!(first.id, second.id);
    // Those of before may be read again only after a pause: nobody can make Drover ask for ever.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    provider.rotate_keys().await;
    adapter.refresh(&known(&second)).await.unwrap();
}

#[tokio::test]
async fn every_usual_signature_works() {
    for algorithm in ["ES256", "PS256", "EdDSA"] {
        let settings = OpenidSettings { algorithm, ..OpenidSettings::default() };
        let provider = OpenidProvider::start(settings).await;
        let adapter = real(&config(provider.issuer()));
        let person = sign_in(&provider, &adapter, "grace").await.unwrap();
        assert_eq!(person.login, "grace", "{algorithm}");
    }
}

#[tokio::test]
async fn a_refresh_sees_who_has_left_a_group_and_who_has_left() {
    let mut provider = OpenidProvider::start(OpenidSettings::default()).await;
    let adapter = real(&config(provider.issuer()));
    let first = sign_in(&provider, &adapter, "grace").await.unwrap();
    provider.set_person(OpenidPerson::new("grace", &["readers"])).await;
    let second = adapter.refresh(&known(&first)).await.unwrap();
    assert_eq!(groups(&second), ["readers"]);
    assert_eq!(second.id, first.id);
    // The refresh token was replaced: the first one is used up, and using it again is an attack.
    let third = adapter.refresh(&known(&second)).await.unwrap();
    provider.remove_person("grace").await;
    let error = adapter.refresh(&known(&third)).await.unwrap_err();
    assert!(matches!(error, ProviderError::TokenRevoked(_)), "{error:?}");
}

#[tokio::test]
async fn without_refresh_tokens_the_access_token_serves_while_it_lasts() {
    let settings = OpenidSettings {
        refresh_tokens: false,
        claims_in_user_info_only: true,
        access_token_seconds: 3,
        ..OpenidSettings::default()
    };
    let mut provider = OpenidProvider::start(settings).await;
    let adapter = real(&config(provider.issuer()));
    let person = sign_in(&provider, &adapter, "grace").await.unwrap();
    assert_eq!(groups(&person), ["platform-team", "readers"]);
    provider.set_person(OpenidPerson::new("grace", &[])).await;
    let person = adapter.refresh(&known(&person)).await.unwrap();
    assert!(groups(&person).is_empty());
    tokio::time::sleep(Duration::from_millis(3100)).await;
    assert_eq!(adapter.refresh(&known(&person)).await, Err(ProviderError::CannotRefresh));
}

#[tokio::test]
async fn claims_are_where_the_settings_say() {
    let mut nested = OpenidPerson::new("heidi", &[]);
    nested.claims.insert("realm_access".into(), json!({ "roles": ["ops", "dev"] }));
    nested.claims.insert("groups".into(), json!("just-one"));
    let settings = OpenidSettings { people: vec![nested], ..OpenidSettings::default() };
    let provider = OpenidProvider::start(settings).await;
    let by = |id_claim: &str, groups_claim: &str| {
        real(&OpenidConfig {
            id_claim: id_claim.into(),
            groups_claim: groups_claim.into(),
            ..config(provider.issuer())
        })
    };
    let person = sign_in(&provider, &by("email", "realm_access.roles"), "heidi").await.unwrap();
    assert_eq!((person.id.as_str(), groups(&person)), ("heidi@example.com", vec!["dev", "ops"]));
    let person = sign_in(&provider, &by("sub", "groups"), "heidi").await.unwrap();
    assert_eq!(groups(&person), ["just-one"]);
    let error = sign_in(&provider, &by("oid", "groups"), "heidi").await.unwrap_err();
    assert!(matches!(&error, ProviderError::Misconfigured(why) if why.contains("oid")), "{error}");
    let error = sign_in(&provider, &by("sub", "realm_access"), "heidi").await.unwrap_err();
    assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
}

#[tokio::test]
async fn a_test_goes_step_by_step() {
    let provider = OpenidProvider::start(OpenidSettings::default()).await;
    let settings = config(provider.issuer());
    let probe = async |adapter: OpenId| {
        let mut steps = Steps::begin();
        let result = adapter.probe(&mut steps).await;
        let steps = steps.into_steps();
        assert_eq!(result.is_ok(), steps.iter().all(|step| step.ok));
        assert!(steps[..steps.len() - 1].iter().all(|step| step.ok));
        (steps.len(), steps.last().unwrap().clone())
    };
    let (count, last) = probe(real(&settings)).await;
    assert_eq!((count, last.step, last.ok), (3, TestStepKind::Client, true));

    let wrong = OpenId::new(&settings, Some("a-wrong-secret".into())).unwrap();
    let (count, last) = probe(wrong).await;
    assert_eq!((count, last.step, last.ok), (3, TestStepKind::Client, false));
    assert!(last.message.contains("invalid_client"), "{}", last.message);
    assert!(!last.message.contains("a-wrong-secret"), "{}", last.message);

    // The same place under another name is another issuer.
    let issuer = provider.issuer().replace("127.0.0.1", "localhost");
    let (count, last) = probe(real(&config(&issuer))).await;
    assert_eq!((count, last.step, last.ok), (1, TestStepKind::Discovery, false));
    assert!(last.message.contains(provider.issuer()), "{}", last.message);

    let (count, last) = probe(real(&config("http://127.0.0.1:9"))).await;
    assert_eq!((count, last.step, last.ok), (1, TestStepKind::Discovery, false));
}

#[tokio::test]
async fn a_provider_tells_of_its_sign_outs() {
    use axum::{Form, Router, routing::post};
    use std::collections::HashMap;
    use tokio::{net::TcpListener, sync::mpsc};

    let (told, mut tokens) = mpsc::channel(4);
    let tell = async move |Form(form): Form<HashMap<String, String>>| {
        told.send(form["logout_token"].clone()).await.unwrap();
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/logout", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/logout", post(tell))).await.unwrap();
    });
    let provider = OpenidProvider::start(OpenidSettings::default()).await;
    provider.set_client(&[CALLBACK], &[], Some(&address)).await;
    let adapter = real(&config(provider.issuer()));
    let person = sign_in(&provider, &adapter, "grace").await.unwrap();
    provider.sign_out("grace").await;
    let token = tokio::time::timeout(Duration::from_secs(5), tokens.recv()).await.unwrap().unwrap();
    let out = door(&adapter).signed_out(&token).await.unwrap();
    assert_eq!(out.session, person.session.unwrap().id);
    assert_eq!(out.person.as_deref(), Some("subject-of-grace"));
    assert!(!out.token_id.is_empty());
    // Known by something else than the subject: then the session alone counts.
    let by_mail = OpenidConfig { id_claim: "email".into(), ..config(provider.issuer()) };
    let out = door(&real(&by_mail)).signed_out(&token).await.unwrap();
    assert!(out.person.is_none() && out.session.is_some());
    // With a letter changed it is nobody's.
    let (message, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{message}.{other}{}", &signature[1..]);
    assert!(matches!(door(&adapter).signed_out(&forged).await, Err(ProviderError::Protocol(_))));
    server.abort();
}

// ---- one that does what a provider must not do

/// Comes back with a code: this provider takes any.
async fn come_back(adapter: &OpenId, nonce: &str) -> Result<Person, ProviderError> {
    let attempt = Attempt { nonce: nonce.into(), ..attempt() };
    let callback = Callback { code: "any".into(), iss: None };
    door(adapter).finish(&attempt, &callback, &mut Steps::begin()).await
}

/// A plan in which these claims differ, and the nonce is right.
fn claims(claims: Value) -> Plan {
    let mut all = json!({ "nonce": "n" });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    Plan { claims: all, ..Plan::default() }
}

#[track_caller]
fn refused(result: Result<Person, ProviderError>, word: &str) {
    match result {
        Err(ProviderError::Protocol(why)) => assert!(why.contains(word), "{word}: {why}"),
        other => panic!("{word}: {other:?}"),
    }
}

#[tokio::test]
async fn only_the_providers_own_signature_counts() {
    let provider = HostileOpenid::start().await;
    let adapter = hostile(&provider);
    for good in [Signer::Ours, Signer::Rsa] {
        provider.set(Plan { signer: good, ..claims(json!({})) });
        assert_eq!(come_back(&adapter, "n").await.unwrap().id, "subject-7", "{good:?}");
    }
    for (signer, word) in [
        (Signer::Nobody, "none"),
        (Signer::PublicKeyAsSecret, "not taken"),
        (Signer::ClientSecret, "not taken"),
        (Signer::Stranger, "signature"),
        (Signer::Unpublished, "not published"),
    ] {
        provider.set(Plan { signer, ..claims(json!({})) });
        refused(come_back(&adapter, "n").await, word);
    }
    // The right key under another algorithm's name.
    let header = json!({ "alg": "HS256" });
    provider.set(Plan { header, ..claims(json!({})) });
    refused(come_back(&adapter, "n").await, "not taken");
    let header = json!({ "alg": "none" });
    provider.set(Plan { header, ..claims(json!({})) });
    refused(come_back(&adapter, "n").await, "not signed");
    let header = json!({ "crit": ["exp"] });
    provider.set(Plan { header, ..claims(json!({})) });
    refused(come_back(&adapter, "n").await, "not valid");
}

#[tokio::test]
async fn every_claim_of_an_id_token_is_checked() {
    let provider = HostileOpenid::start().await;
    let adapter = hostile(&provider);
    let at = now();
    for (changed, word) in [
        (json!({ "aud": "another-client" }), "audience"),
        (json!({ "aud": [] }), "audience"),
        (json!({ "iss": "https://elsewhere.example.com" }), "issuer"),
        (json!({ "iss": format!("{}/", provider.issuer()) }), "issuer"),
        (json!({ "nonce": "nonce-of-another" }), "nonce"),
        (json!({ "nonce": null }), "nonce"),
        (json!({ "azp": "another-client" }), "azp"),
        (json!({ "aud": ["drover", "another-client"] }), "several audiences"),
        (json!({ "exp": at - 90 }), "expired"),
        (json!({ "iat": at + 90 }), "future (iat)"),
        (json!({ "nbf": at + 90 }), "future (nbf)"),
        (json!({ "nbf": "tomorrow" }), "nbf"),
        (json!({ "at_hash": "bm90LXRoZS1oYXNoLW9m" }), "at_hash"),
    ] {
        provider.set(claims(changed));
        refused(come_back(&adapter, "n").await, word);
    }
    for missing in ["iss", "aud", "sub", "exp", "iat"] {
        provider.set(claims(json!({ missing: null })));
        assert!(matches!(come_back(&adapter, "n").await, Err(ProviderError::Protocol(_))));
    }
    provider.set(claims(json!({ "aud": ["drover", "another"], "azp": "drover" })));
    come_back(&adapter, "n").await.unwrap();
}

#[tokio::test]
async fn clocks_may_differ_as_far_as_the_settings_say() {
    let provider = HostileOpenid::start().await;
    let at = now();
    let late = claims(json!({ "exp": at - 30 }));
    let early = claims(json!({ "iat": at + 30, "nbf": at + 30 }));
    let strict = OpenidConfig { clock_skew_seconds: 0, ..config(provider.issuer()) };
    for plan in [late, early] {
        provider.set(plan);
        // 60 seconds unless said otherwise.
        come_back(&hostile(&provider), "n").await.unwrap();
        let error = come_back(&hostile_with(&strict), "n").await.unwrap_err();
        assert!(matches!(&error, ProviderError::Protocol(why) if why.contains("clocks")));
    }
}

#[tokio::test]
async fn unknown_keys_make_the_keys_be_read_again_but_not_for_ever() {
    let provider = HostileOpenid::start().await;
    let adapter = hostile(&provider);
    provider.set(claims(json!({})));
    come_back(&adapter, "n").await.unwrap();
    assert_eq!(provider.keys_read(), 1);
    provider.rotate_keys("second");
    come_back(&adapter, "n").await.unwrap();
    assert_eq!(provider.keys_read(), 2);
    // Another key under the same name, too.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    provider.rotate_keys("second");
    come_back(&adapter, "n").await.unwrap();
    assert_eq!(provider.keys_read(), 3);
    provider.set(Plan { signer: Signer::Unpublished, ..claims(json!({})) });
    for _ in 0..5 {
        refused(come_back(&adapter, "n").await, "not published");
    }
    assert_eq!(provider.keys_read(), 3);
}

#[tokio::test]
async fn user_info_is_of_the_same_person_or_nothing() {
    let provider = HostileOpenid::start().await;
    let adapter = hostile(&provider);
    let with = |user_info: Value| Plan { user_info, ..claims(json!({ "name": null })) };
    // What is not in the ID token comes from there; what is signed stays.
    provider.set(with(json!({ "sub": "subject-7", "name": "Grace", "groups": ["admins"] })));
    let person = come_back(&adapter, "n").await.unwrap();
    assert_eq!(person.display_name, "Grace");
    assert_eq!(groups(&person), ["readers"]);
    provider.set(with(json!({ "sub": "subject-8", "name": "Heidi" })));
    refused(come_back(&adapter, "n").await, "another person");
    provider.set(with(json!({ "name": "Heidi" })));
    refused(come_back(&adapter, "n").await, "another person");
    provider.set(with(Value::Null));
    let error = come_back(&adapter, "n").await.unwrap_err();
    assert!(matches!(&error, ProviderError::Misconfigured(why) if why.contains("403")), "{error}");
}

#[tokio::test]
async fn user_info_may_be_signed() {
    let provider = HostileOpenid::start().await;
    let adapter = hostile(&provider);
    let signed = |changed: Value| {
        let mut all = json!({ "iss": provider.issuer(), "aud": "drover", "sub": "subject-7" });
        all.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        Plan { user_info: provider.token(&all).into(), ..claims(json!({})) }
    };
    provider.set(signed(json!({ "name": "Grace" })));
    assert_eq!(come_back(&adapter, "n").await.unwrap().display_name, "Grace");
    provider.set(signed(json!({ "aud": "another-client" })));
    refused(come_back(&adapter, "n").await, "audience");
    provider.set(Plan { signer: Signer::Stranger, ..claims(json!({})) });
    let forged = signed(json!({ "name": "Mallory" }));
    provider.set(forged);
    refused(come_back(&adapter, "n").await, "signature");
}

#[tokio::test]
async fn the_secret_is_shown_as_the_provider_wants_it() {
    let provider = HostileOpenid::start().await;
    let sent = || provider.asked().into_iter().rfind(|(path, ..)| path == "/token").unwrap();
    provider.set(claims(json!({})));
    come_back(&hostile(&provider), "n").await.unwrap();
    let (_, headers, body) = sent();
    assert!(headers.contains_key("authorization") && !body.contains("client_secret"), "{body}");
    assert!(body.contains("code_verifier="), "{body}");

    let discovery = json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
    provider.set(Plan { discovery, ..claims(json!({})) });
    come_back(&hostile(&provider), "n").await.unwrap();
    let (_, headers, body) = sent();
    assert!(!headers.contains_key("authorization"));
    assert!(body.contains("client_secret=secret-of-the-client"), "{body}");

    // A public client has none, and PKCE alone.
    let public = OpenId::new(&config(provider.issuer()), None).unwrap();
    come_back(&public, "n").await.unwrap();
    let (_, headers, body) = sent();
    assert!(!headers.contains_key("authorization") && !body.contains("client_secret"), "{body}");
    assert!(body.contains("client_id=drover"), "{body}");
}

#[tokio::test]
async fn a_refresh_stays_with_its_person() {
    let provider = HostileOpenid::start().await;
    let adapter = hostile(&provider);
    let with_refresh =
        |claims: Plan, token: &str| Plan { token: json!({ "refresh_token": token }), ..claims };
    provider.set(with_refresh(claims(json!({})), "first"));
    let person = come_back(&adapter, "n").await.unwrap();
    // The renewed ID token is of somebody else.
    provider.set(with_refresh(claims(json!({ "sub": "subject-8" })), "second"));
    let error = adapter.refresh(&known(&person)).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Protocol(why) if why.contains("sub")), "{error:?}");
    // That used up the first refresh token: the second one is sent now.
    provider.set(with_refresh(claims(json!({})), "third"));
    adapter.refresh(&known(&person)).await.unwrap();
    let sent = provider.asked().into_iter().rfind(|(path, ..)| path == "/token").unwrap().2;
    assert!(sent.contains("refresh_token=second"), "{sent}");

    // Groups that were in the ID token are not none because no ID token comes.
    provider.set(Plan { token: json!({ "id_token": null }), ..claims(json!({})) });
    let error = adapter.refresh(&known(&person)).await.unwrap_err();
    assert_eq!(error, ProviderError::CannotRefresh);

    provider.set(Plan {
        token_status: 400,
        token: json!({ "error": "invalid_grant" }),
        ..claims(json!({}))
    });
    let error = adapter.refresh(&known(&person)).await.unwrap_err();
    assert!(matches!(error, ProviderError::TokenRevoked(_)), "{error:?}");
    provider.set(Plan { failure: Some(502), ..claims(json!({})) });
    let error = adapter.refresh(&known(&person)).await.unwrap_err();
    assert!(matches!(error, ProviderError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn logout_tokens_are_checked_as_strictly() {
    let provider = HostileOpenid::start().await;
    let adapter = hostile(&provider);
    let at = now();
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let token = |changed: Value| {
        let mut all = json!({
            "iss": provider.issuer(), "aud": "drover", "iat": at, "exp": at + 120,
            "jti": "id-1", "sub": "subject-7", "sid": "session-1", "events": event,
        });
        for (name, value) in changed.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        provider.token(&all)
    };
    let check = async |token: &str| door(&adapter).signed_out(token).await;
    let out = check(&token(json!({}))).await.unwrap();
    assert_eq!((out.token_id.as_str(), out.session.as_deref()), ("id-1", Some("session-1")));
    check(&token(json!({ "sid": null }))).await.unwrap();
    check(&token(json!({ "sub": null, "exp": null }))).await.unwrap();
    for (changed, word) in [
        (json!({ "iss": "https://elsewhere.example.com" }), "issuer"),
        (json!({ "aud": "another-client" }), "audience"),
        (json!({ "aud": null }), "audience"),
        (json!({ "exp": at - 90 }), "expired"),
        (json!({ "iat": at + 90 }), "future"),
        (json!({ "iat": null }), "issued"),
        (json!({ "iat": at - 600, "exp": null }), "too old"),
        (json!({ "events": null }), "event"),
        (json!({ "events": { "something": {} } }), "event"),
        (json!({ "nonce": "n" }), "nonce"),
        (json!({ "jti": null }), "jti"),
        (json!({ "jti": "x".repeat(300) }), "jti"),
        (json!({ "sub": null, "sid": null }), "neither"),
    ] {
        let error = check(&token(changed)).await.unwrap_err();
        assert!(matches!(&error, ProviderError::Protocol(why) if why.contains(word)), "{error}");
    }
    for signer in
        [Signer::Nobody, Signer::PublicKeyAsSecret, Signer::ClientSecret, Signer::Stranger]
    {
        provider.set(Plan { signer, ..Plan::default() });
        let error = check(&token(json!({}))).await.unwrap_err();
        assert!(matches!(error, ProviderError::Protocol(_)), "{signer:?}");
    }
    for nonsense in ["", "a.b", "a.b.c", "....", &"x".repeat(100_000)] {
        assert!(matches!(check(nonsense).await, Err(ProviderError::Protocol(_))));
    }
}

#[tokio::test]
async fn nothing_is_followed_and_nothing_too_large_is_read() {
    let provider = HostileOpenid::start().await;
    provider.set(Plan { moved: true, ..claims(json!({})) });
    let error = door(&hostile(&provider)).begin(&attempt()).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Protocol(why) if why.contains("not followed")));
    assert!(provider.asked().iter().all(|(path, ..)| !path.starts_with("/elsewhere")));

    provider.set(Plan { padding: 1 << 20, ..claims(json!({})) });
    let error = door(&hostile(&provider)).begin(&attempt()).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Protocol(why) if why.contains("1 MiB")), "{error}");

    // Places without TLS elsewhere than on this machine.
    let discovery = json!({ "token_endpoint": "http://id.example.com/token" });
    provider.set(Plan { discovery, ..claims(json!({})) });
    let error = door(&hostile(&provider)).begin(&attempt()).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Misconfigured(why) if why.contains("without TLS")));
}

#[tokio::test]
async fn errors_hold_no_secret_and_no_token() {
    let provider = HostileOpenid::start().await;
    let adapter = hostile(&provider);
    let secrets = ["access-token-7", "secret-of-the-client", "code-of-the-browser", "id-token-of"];
    for plan in [
        Plan { token: json!({ "id_token": "id-token-of.a.person" }), ..claims(json!({})) },
        Plan { token: json!({ "access_token": null }), ..claims(json!({})) },
        Plan { token: json!({ "id_token": null }), ..claims(json!({})) },
        Plan { token_status: 400, ..claims(json!({})) },
        Plan { failure: Some(500), ..claims(json!({})) },
        Plan { moved: true, ..claims(json!({})) },
        Plan { user_info: Value::Null, ..claims(json!({})) },
    ] {
        // Discovery works, and what comes after does not.
        provider.set(Plan::default());
        door(&adapter).begin(&attempt()).await.unwrap();
        provider.set(plan.clone());
        let attempt = Attempt { nonce: "n".into(), ..attempt() };
        let callback = Callback { code: "code-of-the-browser".into(), iss: None };
        let mut steps = Steps::begin();
        let error = door(&adapter).finish(&attempt, &callback, &mut steps).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", steps.into_steps());
        for secret in secrets {
            assert!(!text.contains(secret), "{plan:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_down_or_slow_is_not_waited_for() {
    let down = hostile_with(&config("http://127.0.0.1:9"));
    let error = door(&down).begin(&attempt()).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Unavailable(why) if why.contains("127.0.0.1:9")));

    let provider = HostileOpenid::start().await;
    provider.set(Plan { delay: Duration::from_secs(30), ..claims(json!({})) });
    let adapter = hostile(&provider);
    let begun = Instant::now();
    let all: Vec<_> = (0..20).map(|_| attempt()).collect();
    let waiting = all.iter().map(|attempt| door(&adapter).begin(attempt));
    for result in futures_util::future::join_all(waiting).await {
        let error = result.unwrap_err();
        assert!(matches!(&error, ProviderError::Unavailable(why) if why.contains("10 s")));
    }
    // All of them together, not one after the other.
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    // It comes back, and so do people.
    provider.set(claims(json!({})));
    come_back(&adapter, "n").await.unwrap();
}

#[tokio::test]
async fn certificates_are_checked() {
    let certificates = Certificates::make();
    certificates.expired("expired", "ca", "IP:127.0.0.1");
    let ca = certificates.read("ca.pem");
    let other_ca = certificates.read("other-ca.pem");
    for (name, ca, word) in [
        ("server", Some(&ca), None),
        ("server", None, Some("authority")),
        ("server", Some(&other_ca), Some("authority")),
        ("misnamed", Some(&ca), Some("another name")),
        ("expired", Some(&ca), Some("expired")),
    ] {
        let provider = HostileOpenid::start_tls(&certificates, name).await;
        provider.set(claims(json!({})));
        let settings = OpenidConfig { ca: ca.cloned(), ..config(provider.issuer()) };
        let result = come_back(&hostile_with(&settings), "n").await;
        match (result, word) {
            (Ok(person), None) => assert_eq!(person.id, "subject-7"),
            (Err(ProviderError::Misconfigured(why)), Some(word)) => {
                assert!(why.contains(word), "{name}: {why}");
            }
            (other, _) => panic!("{name}: {other:?}"),
        }
    }
}
