//! Whether a request is one of a cohort's: a header or a cookie has the value that the table names.

use slipway_core::traffic::CohortRule;

use crate::fields::Fields;
use crate::key::cookie;
use crate::served::CohortState;

/// The first cohort that a request is one of.
pub(crate) fn of(fields: &(impl Fields + ?Sized), cohorts: &[CohortState]) -> Option<String> {
    cohorts.iter().find(|cohort| holds(fields, &cohort.route.rule)).map(|cohort| cohort.route.name.clone())
}

/// Whether a request is one of those that a rule is about.
pub(crate) fn holds(fields: &(impl Fields + ?Sized), rule: &CohortRule) -> bool {
    match rule {
        CohortRule::Header { name, value } => fields.all(name).any(|v| v == value.as_bytes()),
        CohortRule::Cookie { name, value } => cookie(fields, name) == Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn only_the_exact_value_makes_one_of_them() {
        let mut headers = HeaderMap::new();
        headers.append("x-internal", "0".parse().unwrap());
        headers.append("cookie", "a=b; beta=1".parse().unwrap());
        let header = |value: &str| CohortRule::Header { name: "x-internal".into(), value: value.into() };
        let cookie = |name: &str, value: &str| CohortRule::Cookie { name: name.into(), value: value.into() };
        assert!(!holds(&headers, &header("1")) && holds(&headers, &header("0")));
        headers.append("x-internal", "1".parse().unwrap());
        assert!(holds(&headers, &header("1")), "any of several");
        assert!(holds(&headers, &cookie("beta", "1")) && !holds(&headers, &cookie("beta", "2")));
        let bytes = b"city=Z\xc3\xbcrich; gamma=1";
        headers.append("cookie", http::HeaderValue::from_bytes(bytes).unwrap());
        assert!(holds(&headers, &cookie("gamma", "1")), "whatever stands beside it");
        assert!(!holds(&headers, &cookie("eta", "1")) && !holds(&HeaderMap::new(), &cookie("beta", "1")));
    }
}
