use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
fn main() {
    let mut t = "version: 1\nupstreams:\n  u: consul://u\nroutes:\n".to_owned();
    for i in 0..10000 {
        writeln!(t,"  route-{i}:\n    host: h{}.example.com\n    path: /api/v{i}/{{id}}/**\n    methods: [GET, POST]\n    to: u\n    rate_limit: {{ rate: 100/s, burst: 50, by: ip }}\n    rewrite: {{ strip_prefix: /api }}", i%1000).unwrap();
    }
    let s = portcullis_schema::MemorySource::new().with("g.yaml", t.clone());
    for _ in 0..3 {
        let n = std::time::Instant::now();
        let l = portcullis_schema::load(Path::new("g.yaml"), &s, &BTreeMap::new());
        println!(
            "{} bytes {:?} routes {} diag {}",
            t.len(),
            n.elapsed(),
            l.document.routes.len(),
            l.diagnostics.len()
        );
    }
    println!(
        "{} {}",
        std::mem::size_of::<portcullis_schema::Route>(),
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("VmHWM"))
            .collect::<String>()
    );
}
