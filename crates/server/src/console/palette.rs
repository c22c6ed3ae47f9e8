//! The command palette: every place one can go to, as links that the script filters.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Html;

use super::frame::made;
use super::overview::{self, shared::Shared};
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "palette.html")]
struct View {
    places: Vec<Place>,
}

struct Place {
    href: String,
    name: String,
    kind: &'static str,
}

/// The places.
pub(super) async fn read(
    State(app): State<App>,
    Extension(shared): Extension<Arc<Shared>>,
) -> Result<Html<String>, Problem> {
    let told = shared.told(&app).await?;
    Ok(Html(view_for(told.iter().map(|told| &**told))?))
}

/// The places of these services.
pub(super) fn view_for<'a>(told: impl IntoIterator<Item = &'a overview::Told>) -> Result<String, Problem> {
    let place = |href: String, name: String, kind| Place { href, name, kind };
    let told: Vec<&overview::Told> = told.into_iter().collect();
    let mut places = vec![
        place("/".into(), "Services".into(), "page"),
        place("/environments".into(), "Environments".into(), "page"),
        place("/journal".into(), "Journal".into(), "page"),
    ];
    for (lane, open) in &told {
        let waits = |id: &String| format!("{} {id} to {}, waiting", lane.service, lane.environment);
        places.extend(lane.queue.iter().map(|id| place(format!("/rollouts/{id}"), waits(id), "rollout")));
        if let Some(open) = open {
            let name = format!("{} {} to {} ({})", lane.service, open.version, lane.environment, open.rollout);
            places.push(place(format!("/rollouts/{}", open.rollout), name, "rollout"));
        }
    }
    let mut services: Vec<&str> = told.iter().map(|told| told.0.service.as_str()).collect();
    services.dedup();
    places.extend(services.into_iter().map(|s| place(format!("/services/{s}"), s.to_string(), "service")));
    let environments: std::collections::BTreeSet<&str> = told.iter().map(|told| told.0.environment.as_str()).collect();
    places.extend(environments.into_iter().map(|e| place(format!("/environments/{e}"), e.to_string(), "environment")));
    made(&View { places })
}
