//! What each service says of itself at `/openapi.json` is what it does, by a tool that does not know it.

use serde_json::json;

use super::{Instance, PASSWORD, USER};
use crate::schemathesis::{Questions, Schemathesis};

const EXAMPLES_MAX: u32 = 25;
const STAFF: &str = "X-User-Role: staff";
const SCOPES: &str = "X-Scopes: products:write users:write payments:read events:replay";

#[tokio::test]
async fn the_user_service_is_as_it_is_described() {
    let Some(tool) = Schemathesis::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let address = "boss@example.com";
    let settings = [("DATA_DIR", folder.path().to_str().unwrap()), ("STAFF_EMAIL", address)];
    let instance = Instance::start(USER, &settings).await;
    let account = json!({ "email": address, "name": "Boss", "password": PASSWORD });
    let (status, boss) = instance.post("/users", &account).await;
    assert_eq!(status, 201, "{boss}");
    examine(tool, instance, boss["id"].as_str().unwrap(), 9).await;
}

#[tokio::test]
async fn the_product_service_is_as_it_is_described() {
    check(env!("CARGO_BIN_EXE_portcullis-product"), &[], 14).await;
}

#[tokio::test]
async fn the_order_service_is_as_it_is_described() {
    // Its partners are away, which is one of the things it describes.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = format!("http://{nobody}");
    check(env!("CARGO_BIN_EXE_portcullis-order"), &[("GATEWAY_URL", &gateway)], 11).await;
}

#[tokio::test]
async fn the_payment_service_is_as_it_is_described() {
    // What is valid but too much would be declined.
    let charge_max = i64::MAX.to_string();
    check(env!("CARGO_BIN_EXE_portcullis-payment"), &[("CHARGE_MAX", &charge_max)], 10).await;
}

async fn check(program: &str, settings: &[(&str, &str)], operations: usize) {
    let Some(tool) = Schemathesis::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = [("DATA_DIR", folder.path().to_str().unwrap())];
    let instance = Instance::start(program, &[settings, &data].concat()).await;
    examine(tool, instance, "somebody", operations).await;
}

async fn examine(tool: Schemathesis, mut instance: Instance, user: &str, operations: usize) {
    let location = format!("{}/openapi.json", instance.url);
    let user = format!("X-User-Id: {user}");
    let mut examined = tokio::task::spawn_blocking(move || {
        tool.finds_nothing(&Questions {
            location: &location,
            operations,
            examples_max: EXAMPLES_MAX,
            config: None,
            arguments: &["-H", &user, "-H", STAFF, "-H", SCOPES],
            variables: &[],
        });
    });
    // Its log is read all the while, since an instance waits for whoever reads it.
    let examined = loop {
        tokio::select! {
            examined = &mut examined => break examined,
            line = instance.line() => assert!(line.is_some(), "the instance ended: {:#?}", instance.log.last()),
        }
    };
    examined.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let errors: Vec<_> = instance.stop().await.into_iter().filter(|line| line["level"] == "error").collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
