//! Every kind of finding: its stable code, what it means, and an example of what is right.
//!
//! The table behind `portcullis explain E0412` and the page of errors. A code is never given a new meaning.

use crate::diagnostic::Severity;

macro_rules! codes {
    ($($name:ident $code:literal $title:literal, $explanation:literal, $example:literal;)+) => {
        /// A kind of finding. `E01` syntax, `E02` keys, `E03` values, `E04` how parts fit together, `W05` warnings.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// All codes in their order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as shown, such as `E0412`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What it is, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// What it means and what to do, in a few sentences.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$name => $explanation),+ }
            }

            /// An example of what is right, as YAML or a command.
            pub fn example(self) -> &'static str {
                match self { $(Self::$name => $example),+ }
            }
        }
    };
}

impl Code {
    /// Finds a code by its text, in either case.
    pub fn find(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// Errors refuse a configuration, warnings do not.
    pub fn severity(self) -> Severity {
        if self.as_str().starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}

codes! {
    Syntax "E0101" "not YAML",
        "The file cannot be read as YAML. What follows the place shown was not looked at, so there may be more.",
        "routes:\n  orders: { path: /orders/**, to: orders }";
    Tab "E0102" "a tab in the indentation",
        "YAML is indented with spaces only. Most editors can be told to insert spaces for this file.",
        "routes:\n  orders: { path: /orders/** }   # two spaces, no tab";
    NotUtf8 "E0103" "not UTF-8",
        "The file holds bytes that are not UTF-8 text. Save it as UTF-8.",
        "iconv -f latin1 -t utf-8 gateway.yaml";
    TooDeep "E0104" "nested too deeply",
        "No setting needs this depth; the file is probably not a configuration.",
        "";
    TooLarge "E0105" "too large",
        "A file, or what its aliases expand to, is beyond the bound that protects the process. Split it with `include`, and avoid aliases of aliases.",
        "include: [routes.d/*.yaml]";
    UnknownAlias "E0106" "an alias without an anchor",
        "`*name` repeats what `&name` marked earlier in the same file. A value that starts with `*` must be quoted.",
        "host: \"*.example.com\"";
    SeveralDocuments "E0107" "more than one document",
        "A file holds one document; `---` starts another.",
        "include: [routes.d/*.yaml]";
    UnsupportedYaml "E0108" "a part of YAML that is not used",
        "Tags such as `!include` and keys that are lists or maps are not part of the language.",
        "include: [routes.d/*.yaml]";
    Unreadable "E0111" "a file that cannot be read",
        "The file does not exist, or may not be read by the user that the gateway runs as.",
        "portcullis check gateway.yaml";
    IncludeCycle "E0112" "files that include each other",
        "A file includes itself, perhaps by way of others. Let only the main file include.",
        "include: [routes.d/*.yaml]";
    IncludePath "E0113" "an include outside the directory",
        "Patterns of `include` stay inside the directory of the main file: no `..`, no absolute path.",
        "include: [routes.d/*.yaml]";
    TooManyFiles "E0114" "too many files",
        "So many files are included that something is probably wrong with a pattern.",
        "include: [routes.d/*.yaml]";
    TooManyErrors "E0199" "more errors than are shown",
        "The first thousand are shown. Mend some and check again.",
        "";
    UnknownKey "E0201" "unknown key",
        "The key is not part of the language here. It may be misspelt, or belong one level up or down.",
        "routes:\n  orders: { path: /orders/**, to: orders }";
    DuplicateKey "E0202" "a key written twice",
        "A key stands twice in one map, so one of the two values would be lost.",
        "";
    DuplicateName "E0203" "a name defined twice",
        "The same name, or the same top-level setting, is defined twice, perhaps in two files.",
        "";
    NotInThisVersion "E0204" "not in this version",
        "The key is reserved: a later version will bring it. It is refused so that nothing you write is ignored.",
        "";
    MissingKey "E0205" "a key is missing",
        "Without this key the entry has no meaning.",
        "routes:\n  orders: { path: /orders/**, to: orders }";
    Exclusive "E0206" "settings that exclude each other",
        "Only one of these settings can hold. Remove the others.",
        "upstreams:\n  orders: { service: \"consul://order-service\" }";
    BadVersion "E0207" "a version of the language that is not known",
        "The first key of the main file says which language it is written in.",
        "version: 1";
    FilesOnly "E0208" "a setting that only the files can change",
        "The overlay, which the admin API writes, cannot change what is read once at start, nor which files there are.",
        "";
    WrongType "E0301" "the wrong kind of value",
        "A list, a map, text, a number or a boolean was expected, and something else was found.",
        "";
    MissingValue "E0302" "a key without a value",
        "Nothing stands behind the key. Write a value, or remove the key.",
        "";
    BadValue "E0303" "a value that is not understood",
        "The value has the right kind but not the right form. Quantities need their unit.",
        "timeout: 10s\nmax_body: 2MiB\nrate_limit: 100/s\nsample: 50%";
    BadName "E0304" "not a name",
        "Names are letters, digits, `_`, `-` and `.`, and start with a letter or digit.",
        "upstreams:\n  orders-v2: \"consul://order-service\"";
    OutOfRange "E0305" "out of range",
        "The number is understood, but too small or too large.",
        "retry: { attempts: 2 }";
    BadPath "E0306" "a path pattern that is not understood",
        "A path starts with `/`. `{name}` stands for one segment, `{name:uint}` for a typed one, `{name?}` for an optional one, a final `/**` for everything below and the bare path itself.",
        "path: /api/orders/{id:uint}";
    BadRegex "E0307" "a regular expression that is not understood",
        "The syntax is that of the Rust crate `regex`: no look-around, no back-references.",
        "headers: { X-Version: { regex: \"v[0-9]+\" } }";
    MissingVariable "E0311" "an environment variable is not set",
        "The file names a variable that the gateway's environment does not have. Set it, or write a default.",
        "address: ${CONSUL_HTTP_ADDR:-http://127.0.0.1:8500}";
    BadVariable "E0312" "not a reference to a variable",
        "A reference is `${NAME}` or `${NAME:-default}`. For the text `${` itself write `$${`.",
        "address: ${CONSUL_HTTP_ADDR:-http://127.0.0.1:8500}";
    UnknownPolicy "E0411" "unknown policy",
        "`use` names a policy that is not defined under `policies`.",
        "policies:\n  public: { rate_limit: 100/s }";
    UnknownUpstream "E0412" "unknown upstream",
        "`to` names an upstream that is not defined. A Consul service can be named directly.",
        "to: consul://order-service";
    UnknownPlugin "E0413" "unknown plugin",
        "No plugin of this name is built into this gateway.",
        "plugins: [ { cors: { origins: [ \"https://shop.example.com\" ] } } ]";
    BadPluginSettings "E0414" "settings that a plugin refuses",
        "The plugin read its settings and did not accept them.",
        "plugins: [ { cors: { origins: [ \"https://shop.example.com\" ] } } ]";
    UnknownConsumer "E0415" "unknown consumer",
        "A consumer is named that is not defined under `consumers`.",
        "consumers:\n  mobile-app: { api_keys: [ { sha256: … } ] }";
    UnknownListener "E0416" "unknown listener",
        "A route is to be served on a listener that is not defined under `listeners`.",
        "listeners:\n  internal: { address: \"127.0.0.1:8081\" }\nroutes:\n  payments: { listeners: [internal], path: /payments/**, to: payments }";
    TiedRoutes "E0421" "two routes that tie",
        "Two routes match the same requests and neither is more specific. Make one more specific, or give it a `priority`.",
        "priority: 10";
    UnreachableRoute "E0422" "a route that is never reached",
        "Every request it matches is taken by a more specific route, or by one with a higher priority.",
        "";
    IncompleteSetting "E0423" "a setting that is incomplete",
        "After `defaults`, `use` and the route are laid over each other, a part that the setting needs is still missing.",
        "rate_limit: { rate: 100/s, by: ip }";
    BadCombination "E0424" "settings that do not go together",
        "Each setting is fine, but not beside the other.",
        "";
    UnknownParameter "E0425" "a parameter that the path does not have",
        "`rewrite.path` refers to `{name}`, and the route's path has no part of this name.",
        "path: /old/{id}\nrewrite: { path: /new/{id} }";
    ProtectedHeader "E0426" "a header that may not be changed",
        "The gateway itself is answerable for this header: framing, connection, forwarding.",
        "";
    SharedApiKey "E0427" "one API key for two consumers",
        "Two consumers have the same key, so it would not say who is calling.",
        "";
    SharedAddress "E0428" "one address for two listeners",
        "Two listeners, or a listener and the admin or metrics address, would listen on the same address.",
        "listeners:\n  web: { address: \"0.0.0.0:8080\" }";
    TooManyRoutes "E0429" "too many of something",
        "There are more entries than the bound that protects the process.",
        "";
    TestFailed "E0431" "a route test failed",
        "A request in `tests` leads to something else than expected.",
        "portcullis test -c gateway.yaml";
    BadTest "E0432" "a route test that cannot hold",
        "The test expects something that this gateway never does, or names what does not exist.",
        "tests:\n  - { request: GET /orders/42, expect: { route: orders } }";
    UnusedUpstream "W0501" "an upstream that no route uses",
        "It is not watched and gets no requests. Remove it, or route to it.",
        "";
    UnusedPolicy "W0502" "a policy that no route uses",
        "It has no effect. Remove it, or name it in a route's `use`.",
        "use: [public]";
    UnusedConsumer "W0503" "a consumer that cannot call",
        "It has no key, or no route accepts API keys.",
        "";
    NoRoutes "W0504" "no route",
        "Without routes every request is answered with 404.",
        "routes:\n  orders: { path: /api/orders/**, to: \"consul://order-service\" }";
    NoEffect "W0505" "a setting without effect",
        "The setting changes nothing where it stands.",
        "";
    Exposed "W0506" "reachable from elsewhere",
        "The address is reachable from other machines, and what answers there is meant for operators.",
        "admin: { address: \"127.0.0.1:9901\" }";
    TrustsEveryone "W0507" "everybody is trusted",
        "With all networks trusted, any client can claim any address in X-Forwarded-For.",
        "trusted_proxies: [10.0.0.0/8]";
    NoMatch "W0508" "an include that matches no file",
        "The pattern is fine, but there is no such file now.",
        "include: [routes.d/*.yaml]";
    SecretInFile "W0509" "a secret written in the file",
        "Files are copied, shown and committed. Name a variable or a file of its own.",
        "token_env: CONSUL_HTTP_TOKEN";
    BareWarning "W0510" "probably not as meant",
        "The configuration works, but this is seldom what somebody wants.",
        "";
}
