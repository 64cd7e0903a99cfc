//! `/v1` against its own description: schemathesis makes requests from the OpenAPI document, allowed and forbidden
//! ones, and compares each answer with it.
//!
//! Invariant: no request has a server error, and no answer is one that the document does not describe.

use std::path::Path;
use std::process::Command;

use crate::cluster::Cluster;
use crate::http::open;
use crate::packages;
use crate::tools::run;

const PACKAGE: &str = "schemathesis==4.32.5";
/// Variable with the number of examples of each operation.
const EXAMPLES: &str = "JEDLIK_SCHEMATHESIS_EXAMPLES";
/// Examples of each operation where the variable is not set, beside a thousand requests from the bounds in the
/// document.
const EXAMPLES_USUAL: &str = "3";

#[test]
fn answers_are_as_the_openapi_document_says() {
    let Some(python) = packages::python("schemathesis", PACKAGE) else { return };
    let cluster = Cluster::start_with(open);
    let document = format!("http://{}/v1/openapi.json", cluster.nodes[0].address.unwrap());
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/schemathesis.toml");
    let examples = std::env::var(EXAMPLES).unwrap_or_else(|_| EXAMPLES_USUAL.into());
    let mut schemathesis = Command::new(python);
    schemathesis.args(["-m", "schemathesis.cli", "--config-file"]).arg(config);
    schemathesis.args(["run", &document, "--no-color", "--max-examples", &examples]);
    let said = run(schemathesis.current_dir(cluster.path(""))).ok();
    eprintln!("{}", said.stdout);
}
