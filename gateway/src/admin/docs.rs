//! `GET /docs`: the description of the API as a page, for people.
//!
//! Made once, of HTML alone: no script, nothing from elsewhere. It says what this version can do and nothing of this
//! gateway, so it needs no token, which no browser would send.

use std::fmt::Write as _;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use utoipa::openapi::OpenApi;

/// Where the page is.
pub(super) const PAGE: &str = "/docs";
/// Where its style is.
pub(super) const STYLE: &str = "/docs/style.css";
const CSS: &str = include_str!("docs.css");
/// Nothing but our own style, in no frame.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its style.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    // A description that is no JSON would be a fault of the library; the page is then empty.
    let page = bytes::Bytes::from(page(&serde_json::to_value(document).unwrap_or_default()));
    Router::new()
        .route(PAGE, get(move || std::future::ready(typed("text/html; charset=utf-8", page.clone()))))
        .route(STYLE, get(|| std::future::ready(typed("text/css; charset=utf-8", CSS))))
}

fn typed(kind: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Writing to a string cannot fail, here and below.
fn page(document: &Value) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    let title = text(&document["info"]["title"]);
    let _ =
        writeln!(out, "<title>{title}</title>\n<link rel=\"stylesheet\" href=\"{STYLE}\">\n</head>\n<body>");
    let _ = writeln!(out, "<header><h1>{title} {}</h1>", text(&document["info"]["version"]));
    let _ = writeln!(out, "<p>{}</p></header>\n<main>", text(&document["info"]["description"]));
    let operations = operations(document);
    out.push_str("<nav aria-label=\"Operations\"><ul>\n");
    for (method, path, operation) in &operations {
        let _ = writeln!(
            out,
            "<li><a href=\"#{}\"><code>{method} {}</code></a> {}</li>",
            anchor(method, path),
            escaped(path),
            text(&operation["summary"])
        );
    }
    out.push_str("</ul></nav>\n");
    for (method, path, operation) in &operations {
        write_operation(&mut out, method, path, operation);
    }
    out.push_str("<h2 id=\"schemas\">Schemas</h2>\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = writeln!(
            out,
            "<section id=\"schema-{0}\"><h3>{0}</h3>\n<pre>{1}</pre></section>",
            escaped(name),
            escaped(&format!("{schema:#}"))
        );
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// Every operation in the order of the document.
fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(path, item)| {
            let operations = item.as_object().into_iter().flatten();
            operations.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
        })
        .collect()
}

fn write_operation(out: &mut String, method: &str, path: &str, operation: &Value) {
    let id = anchor(method, path);
    let _ = writeln!(out, "<section id=\"{id}\"><h2><code>{method} {}</code></h2>", escaped(path));
    let _ = writeln!(out, "<p><strong>{}</strong></p>", text(&operation["summary"]));
    for paragraph in operation["description"].as_str().unwrap_or_default().split("\n\n") {
        let _ = writeln!(out, "<p>{}</p>", escaped(paragraph));
    }
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        out.push_str("<table><caption>Parameters</caption><tr><th>name</th><th>in</th><th></th></tr>\n");
        for parameter in parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            let about = text(&parameter["description"]);
            let _ = writeln!(out, "<tr><td><code>{name}</code></td><td>{place}</td><td>{about}</td></tr>");
        }
        out.push_str("</table>\n");
    }
    for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let example = content.get("example").map(|example| escaped(&example.to_string()));
        let example = example.map(|text| format!(", such as <code>{text}</code>")).unwrap_or_default();
        let (kind, form) = (escaped(kind), schema(&content["schema"]));
        let _ = writeln!(out, "<p>Body: <code>{kind}</code> {form}{example}</p>");
    }
    out.push_str("<table><caption>Answers</caption><tr><th>status</th><th></th><th>body</th></tr>\n");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let bodies = response["content"].as_object().into_iter().flatten();
        let bodies: Vec<String> = bodies
            .map(|(kind, content)| format!("<code>{}</code> {}", escaped(kind), schema(&content["schema"])))
            .collect();
        let (status, about) = (escaped(status), text(&response["description"]));
        let _ = writeln!(out, "<tr><td>{status}</td><td>{about}</td><td>{}</td></tr>", bodies.join("<br>"));
    }
    out.push_str("</table></section>\n");
}

/// A link to the schema's name, if it has one.
fn schema(schema: &Value) -> String {
    let all = std::iter::once(schema).chain(schema["oneOf"].as_array().into_iter().flatten());
    let named = all.filter_map(|one| one["$ref"].as_str()?.rsplit('/').next());
    named.map(|name| format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name))).collect::<Vec<_>>().join(" ")
}

fn anchor(method: &str, path: &str) -> String {
    let path: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{}{path}", method.to_lowercase())
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

/// Text as text, whatever is in it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_schema_is_on_the_page_and_every_link_leads_somewhere() {
        let document = serde_json::to_value(super::super::openapi()).unwrap();
        let page = page(&document);
        for (method, path, _) in operations(&document) {
            assert!(page.contains(&format!("<section id=\"{}\">", anchor(&method, path))), "{method} {path}");
        }
        for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = page(&serde_json::to_value(super::super::openapi()).unwrap());
        let tags = page.split('<').filter_map(|tag| tag.split('>').next());
        for tag in tags {
            assert!(!tag.starts_with("script") && !tag.contains("src=") && !tag.contains("://"), "{tag}");
        }
        assert!(!CSS.contains("url(") && !CSS.contains("@import"));
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
    }
}
