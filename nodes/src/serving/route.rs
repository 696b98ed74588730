//! Which loaded version answers a call: the one named, else the active one or, for a share of the
//! entities, the canary; and what runs in shadow beside it.

use super::{Loaded, Serving, ServingError};
use crate::state::State;
use models::{bucket, in_canary, in_shadow};
use std::borrow::Cow;
use std::sync::Arc;

/// The versions of one model that a call goes to, as the registry has it at one index.
#[derive(Clone, Debug)]
pub struct Routed {
    stable: Arc<Loaded>,
    /// The canary may be late on this node: then its entities get no answer here, since another
    /// version's would differ from what the other nodes say.
    canary: Option<(u8, Result<Arc<Loaded>, ServingError>)>,
    shadow: Option<(u8, Arc<Loaded>)>,
}

impl Serving {
    pub fn route(&self, state: &State, name: &str, version: &str) -> Result<Routed, ServingError> {
        if !version.is_empty() {
            let stable = self.resolve(state, name, version)?;
            return Ok(Routed { stable, canary: None, shadow: None });
        }
        let route = state.registry.route(name)?;
        let stable = self.find(name, &route.active.version)?;
        let canary = route.canary.map(|known| (known.share, self.find(name, &known.version)));
        let shadow = route
            .shadow
            .and_then(|known| Some((known.share, self.find(name, &known.version).ok()?)));
        Ok(Routed { stable, canary, shadow })
    }
}

impl Routed {
    /// The active version, or the one that was named.
    pub fn stable(&self) -> &Arc<Loaded> {
        &self.stable
    }

    /// Whether entities differ in the version that answers them.
    pub fn is_split(&self) -> bool {
        self.canary.is_some()
    }

    /// The version that answers this entity: the same one on every node.
    pub fn of(&self, entity: &[u8]) -> Result<&Arc<Loaded>, ServingError> {
        match &self.canary {
            Some((share, canary)) if in_canary(bucket(self.stable.name(), entity), *share) => {
                canary.as_ref().map_err(Clone::clone)
            }
            _ => Ok(&self.stable),
        }
    }

    /// Entities by the version that answers them; those whose version is not here yet are left out.
    pub fn split<'a>(&self, entities: &'a [String]) -> Vec<(&Arc<Loaded>, Cow<'a, [String]>)> {
        let Some((_, canary)) = &self.canary else {
            return vec![(&self.stable, Cow::Borrowed(entities))];
        };
        let answered = |version: &Arc<Loaded>| {
            let is_its = |entity: &&String| {
                self.of(entity.as_bytes()).is_ok_and(|found| Arc::ptr_eq(found, version))
            };
            Cow::Owned(entities.iter().filter(is_its).cloned().collect())
        };
        let mut parts = vec![(&self.stable, answered(&self.stable))];
        parts.extend(canary.as_ref().ok().map(|canary| (canary, answered(canary))));
        parts
    }

    /// The version that runs unseen for this entity, where the active one answers it.
    pub fn shadow_of(&self, entity: &[u8], answered: &Arc<Loaded>) -> Option<&Arc<Loaded>> {
        let (share, shadow) = self.shadow.as_ref()?;
        let runs = Arc::ptr_eq(answered, &self.stable)
            && in_shadow(bucket(self.stable.name(), entity), *share);
        runs.then_some(shadow)
    }

    /// Whether anything runs in shadow.
    pub fn has_shadow(&self) -> bool {
        self.shadow.is_some()
    }
}
