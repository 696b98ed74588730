//! The feature views that come with the program, parsed once.

use features::{FeatureView, builtin};
use std::sync::{Arc, LazyLock};

static VIEWS: LazyLock<Vec<Arc<FeatureView>>> = LazyLock::new(|| {
    // They are compiled in and parsed by a test of their own crate.
    let views = builtin::views().unwrap_or_default();
    views.into_iter().map(Arc::new).collect()
});

pub fn find(name: &str) -> Option<&'static Arc<FeatureView>> {
    VIEWS.iter().find(|view| view.name() == name)
}
