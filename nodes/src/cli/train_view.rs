//! The feature view that a model is trained for, as the cluster has it.

use super::args::Remote;
use super::output::Failure;
use crate::client::views_client;
use crate::proto::hearth::{ListViewsRequest, View};

/// The newest version in force that has these features, in this order: the one that a model is bound to
/// when it is pushed.
pub(super) async fn find(remote: &Remote, name: &str, columns: &[String]) -> anyhow::Result<View> {
    let request = ListViewsRequest { name: name.to_owned() };
    let listed = remote
        .client()?
        .call(|channel| {
            let request = request.clone();
            async move { Ok(views_client(channel).list(request).await?.into_inner()) }
        })
        .await?;
    let mut in_force: Vec<View> =
        listed.views.into_iter().filter(|view| view.state != "retired").collect();
    in_force.sort_by_key(|view| std::cmp::Reverse(view.version));
    let is_of = |view: &View| view.features.iter().map(|each| &each.name).eq(columns);
    match in_force.iter().position(is_of) {
        Some(at) => Ok(in_force.swap_remove(at)),
        None => Err(Failure::refused(match in_force.first() {
            Some(newest) => difference(newest, columns),
            None => format!("no version of view {name} is in force: see `hearth view list {name}`"),
        })
        .into()),
    }
}

fn difference(view: &View, columns: &[String]) -> String {
    let known: Vec<&str> = view.features.iter().map(|each| each.name.as_str()).collect();
    let at = known.iter().zip(columns).position(|(known, column)| known != column);
    let at = at.unwrap_or(known.len().min(columns.len()));
    let said = |name: Option<&str>| name.map_or("nothing".to_owned(), |name| format!("{name:?}"));
    format!(
        "no version of view {} has the query's columns: column {} is {}, version {} has {} there; \
         select its {} features in order, or give --rows",
        view.name,
        at + 1,
        said(columns.get(at).map(String::as_str)),
        view.version,
        said(known.get(at).copied()),
        known.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::hearth::ViewFeature;

    #[test]
    fn the_first_column_that_differs_is_named() {
        let feature = |name: &str| ViewFeature { name: name.to_owned(), ..ViewFeature::default() };
        let view = View {
            name: "night".to_owned(),
            version: 3,
            features: ["a", "b"].map(feature).to_vec(),
            ..View::default()
        };
        let said = |columns: &[&str]| {
            difference(&view, &columns.iter().map(|each| (*each).to_owned()).collect::<Vec<_>>())
        };
        assert!(said(&["a", "c"]).contains("column 2 is \"c\", version 3 has \"b\""));
        assert!(said(&["a"]).contains("column 2 is nothing, version 3 has \"b\""));
        assert!(said(&["a", "b", "x"]).contains("column 3 is \"x\", version 3 has nothing"));
    }
}
