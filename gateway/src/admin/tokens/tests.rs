use std::os::unix::fs::PermissionsExt;

use portcullis_schema::{AdminRole, Secret};

use super::*;

const GENERATED_TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn open(state: &Path, configured: &[(&str, AdminRole, KeptSecret)]) -> Result<Tokens, TokensError> {
    let configured = configured
        .iter()
        .map(|(name, role, token)| (Arc::from(*name), AdminToken { role: *role, token: token.clone() }))
        .collect();
    Tokens::open(GENERATED_TOKEN, &configured, state, state)
}

fn role_of(tokens: &Tokens, token: &str) -> Option<Role> {
    tokens.holder(token, clock::now()).map(|caller| caller.role)
}

#[test]
fn only_a_whole_token_opens_and_each_has_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let value = KeptSecret::Value(Secret::new("c".repeat(32)));
    let tokens = open(folder.path(), &[("ci", AdminRole::Operator, value)]).unwrap();
    assert_eq!(role_of(&tokens, GENERATED_TOKEN), Some(Role::Admin));
    assert_eq!(role_of(&tokens, &"c".repeat(32)), Some(Role::Operator));
    for wrong in ["", &GENERATED_TOKEN[..31], &"c".repeat(33)] {
        assert_eq!(role_of(&tokens, wrong), None, "{wrong}");
    }
}

#[test]
fn a_made_token_survives_a_restart_and_is_never_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path(), &[]).unwrap();
    let (token, shown) = tokens.make("grafana".into(), Role::Viewer, None).unwrap();
    assert_eq!((shown.origin, shown.role), (Origin::Made, Role::Viewer));
    let path = folder.path().join(TOKENS_FILE);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&token) && text.contains("grafana"), "{text}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = open(folder.path(), &[]).unwrap();
    assert_eq!(again.holder(&token, clock::now()).map(|caller| caller.name), Some("grafana".into()));
    again.remove("grafana").unwrap();
    assert_eq!(role_of(&again, &token), None);
    assert_eq!(role_of(&open(folder.path(), &[]).unwrap(), &token), None);
}

#[test]
fn a_token_that_is_over_opens_nothing_and_makes_room_for_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path(), &[]).unwrap();
    let (token, _) = tokens.make("brief".into(), Role::Admin, Some(Duration::ZERO)).unwrap();
    assert_eq!(role_of(&tokens, &token), None);
    let (second, _) = tokens.make("brief".into(), Role::Viewer, Some(Duration::from_secs(60))).unwrap();
    assert_eq!(role_of(&tokens, &second), Some(Role::Viewer));
    assert_eq!(tokens.list().iter().filter(|known| &*known.name == "brief").count(), 1);
}

#[test]
fn names_are_taken_once_and_only_made_tokens_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let value = KeptSecret::Value(Secret::new("c".repeat(32)));
    let tokens = open(folder.path(), &[("ci", AdminRole::Viewer, value)]).unwrap();
    for taken in ["ci", GENERATED] {
        assert!(matches!(tokens.make(taken.into(), Role::Admin, None), Err(Unchanged::Taken)), "{taken}");
    }
    assert!(matches!(tokens.remove("ci"), Err(Unchanged::NotMade(Origin::Configuration))));
    assert!(matches!(tokens.remove(GENERATED), Err(Unchanged::NotMade(Origin::Generated))));
    assert!(matches!(tokens.remove("nobody"), Err(Unchanged::Unknown)));
}

#[test]
fn a_token_that_cannot_be_kept_is_not_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let tokens = open(&state, &[]).unwrap();
    fs::remove_dir(&state).unwrap();
    assert!(matches!(tokens.make("lost".into(), Role::Admin, None), Err(Unchanged::Io(_))));
    assert_eq!(tokens.list().len(), 1);
}

#[test]
fn no_more_than_the_bound_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path(), &[]).unwrap();
    let made = |n: usize| Made {
        name: format!("t{n}").into(),
        role: Role::Viewer,
        sha256: [0; 32],
        created: 0,
        expires: None,
    };
    tokens.made.store(Arc::new((0..MADE_MAX).map(made).collect()));
    assert!(matches!(tokens.make("one-more".into(), Role::Viewer, None), Err(Unchanged::Full)));
}

#[test]
fn a_tokens_file_that_cannot_be_read_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(TOKENS_FILE), "{\"tokens\": [{}]}").unwrap();
    let error = open(folder.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("tokens.json") && error.contains("delete it"), "{error}");
}

#[test]
fn a_token_in_a_file_follows_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci-token");
    let file = || KeptSecret::File("ci-token".into());
    let missing = open(folder.path(), &[("ci", AdminRole::Viewer, file())]).unwrap_err().to_string();
    assert!(missing.contains("admin.tokens.ci"), "{missing}");
    fs::write(&path, format!("{}\n", "a".repeat(32))).unwrap();
    let tokens = open(folder.path(), &[("ci", AdminRole::Viewer, file())]).unwrap();
    assert_eq!(role_of(&tokens, &"a".repeat(32)), Some(Role::Viewer));
    // A length of its own: two writes within one tick of the file system have one time.
    fs::write(&path, "b".repeat(40)).unwrap();
    let later = clock::now() + LOOK_EVERY;
    assert!(tokens.holder(&"a".repeat(32), later).is_none());
    assert_eq!(tokens.holder(&"b".repeat(40), later).map(|caller| caller.role), Some(Role::Viewer));
    fs::remove_file(&path).unwrap();
    assert!(tokens.holder(&"b".repeat(40), later + LOOK_EVERY).is_none());
}
