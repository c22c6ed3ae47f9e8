//! What is wrong with `config`, within a section and between a service's and an environment's.

use super::{least, parse};

fn refused(text: &str) -> String {
    let mistakes = parse(text).expect_err(text);
    mistakes.iter().map(|m| m.to_string()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_that_lies_below_another_is_refused_also_where_an_environment_adds_it() {
    let files = |files: &str| format!("config: {{ files: {{ {files} }} }}");
    let one = refused(&least(&format!("{}\n", files("shop: a, shop/a: b"))));
    assert!(one.contains("\"shop/a\" lies below \"shop\""), "{one}");
    let overlaid = |own: &str, environments: &str| {
        let text = least(&format!("{}\n", files(own)));
        text.replace("production: {}", &format!("production: {{ {} }}", files(environments)))
    };
    let added = refused(&overlaid("conf: a", "conf/b: c"));
    assert!(added.contains("config.files of production") && added.contains("\"conf/b\" lies below"), "{added}");
    let above = refused(&overlaid("conf/b: a", "conf: c"));
    assert!(above.contains("\"conf/b\" lies below \"conf\""), "{above}");
    assert!(parse(&overlaid("conf/b: a", "conf/c: d, conf.d: e")).is_ok());
}
