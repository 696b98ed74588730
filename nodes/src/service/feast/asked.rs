//! What a request of Feast's asks for, whichever way it came.

use crate::proto::feast::serving::GetOnlineFeaturesRequest;
use crate::proto::feast::serving::get_online_features_request::Kind;
use crate::proto::feast::types::{RepeatedValue, Value, value::Val};
use crate::serving::Sent;
use crate::state::State;
use features::FeatureView;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::Status;

/// Features that one request may name.
const FEATURES_MAX: usize = 1024;
/// The name in `request_context` by which a caller gets the view's default where there is no value.
const DEFAULTS: &str = "hearth_defaults";

/// One column of keys, as it came.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// The key's column of the register, or the entity's name.
    pub(super) name: String,
    pub(super) values: Vec<Value>,
}

#[derive(Clone, Debug)]
pub(super) enum Which {
    Service(String),
    Features(Vec<String>),
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) which: Which,
    /// In the order of their names.
    pub(super) keys: Vec<Keys>,
    pub(super) full_names: bool,
    pub(super) with_defaults: bool,
    pub(super) with_versions: bool,
    /// Values that the views' expressions take from the call, by their names.
    pub(super) context: Vec<(String, Vec<f64>)>,
}

/// One feature of the answer.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) view: Arc<FeatureView>,
    /// Its place in the view.
    pub(super) feature: usize,
    /// The place of the column with the keys of the view's entity.
    pub(super) keys: usize,
}

impl Asked {
    pub(super) fn of_message(request: GetOnlineFeaturesRequest) -> Result<Self, Status> {
        let which = match request.kind {
            Some(Kind::FeatureService(name)) => Which::Service(name),
            Some(Kind::Features(list)) => Which::Features(list.val),
            None => {
                return Err(Status::invalid_argument(
                    "nothing is asked for: name features as view:feature, or a feature_service",
                ));
            }
        };
        let context = request.request_context.get(DEFAULTS).and_then(|values| values.val.first());
        let with_defaults = context.is_some_and(|value| value.val == Some(Val::BoolVal(true)));
        let context = request.request_context.into_iter();
        let context = context.filter_map(|(name, values)| Some((name, numbers(&values.val)?)));
        let mut context: Vec<_> = context.collect();
        context.sort_by(|one, other| one.0.cmp(&other.0));
        let mut keys: Vec<Keys> = request
            .entities
            .into_iter()
            .map(|(name, RepeatedValue { val })| Keys { name, values: val })
            .collect();
        keys.sort_by(|one, other| one.name.cmp(&other.name));
        let asked = Self {
            which,
            keys,
            full_names: request.full_feature_names,
            with_defaults,
            context,
            with_versions: request.include_feature_view_version_metadata,
        };
        asked.checked()
    }

    /// Refuses columns of keys that do not fit together.
    pub(super) fn checked(self) -> Result<Self, Status> {
        let Some(first) = self.keys.first() else {
            return Err(Status::invalid_argument("no entities: send a column of keys by its name"));
        };
        let odd = self.keys.iter().find(|keys| keys.values.len() != first.values.len());
        if let Some(odd) = odd {
            return Err(Status::invalid_argument(format!(
                "entity columns are of different length: {} has {}, {} has {}",
                first.name,
                first.values.len(),
                odd.name,
                odd.values.len()
            )));
        }
        Ok(self)
    }

    /// What was sent for a view: in the request's context or, as Feast's client does it, as a column
    /// beside the keys.
    pub(super) fn sent(&self, view: &FeatureView) -> Result<Sent, Status> {
        let is_of_view = |name: &str| view.request().iter().any(|value| value.name == name);
        let mut columns: Vec<(&str, Vec<f64>)> = self
            .context
            .iter()
            .filter(|(name, _)| is_of_view(name))
            .map(|(name, numbers)| (name.as_str(), numbers.clone()))
            .collect();
        for keys in self.keys.iter().filter(|keys| is_of_view(&keys.name)) {
            let numbers = numbers(&keys.values).ok_or_else(|| {
                Status::invalid_argument(format!("request value {} is no number", keys.name))
            })?;
            columns.push((&keys.name, numbers));
        }
        Sent::of(view, self.rows(), &columns).map_err(Status::invalid_argument)
    }

    pub(super) fn rows(&self) -> usize {
        self.keys.first().map_or(0, |keys| keys.values.len())
    }

    /// The features that are asked for, each once and in the order of the request.
    pub(super) fn wanted(&self, state: &State) -> Result<Vec<Wanted>, Status> {
        let mut wanted = match &self.which {
            Which::Service(name) => {
                let view = of_service(state, name)?;
                let keys = self.keys_of(&view)?;
                let all = 0..view.features().len();
                all.map(|feature| Wanted { view: Arc::clone(&view), feature, keys }).collect()
            }
            Which::Features(list) => {
                list.iter().map(|text| self.one(state, text)).collect::<Result<Vec<_>, _>>()?
            }
        };
        let mut seen = BTreeSet::new();
        wanted.retain(|each| seen.insert((each.view.name().to_owned(), each.feature)));
        if wanted.is_empty() || wanted.len() > FEATURES_MAX {
            return Err(Status::invalid_argument(format!(
                "{} features are asked for: name 1 to {FEATURES_MAX}",
                wanted.len()
            )));
        }
        self.refuse_same_names(&wanted)?;
        Ok(wanted)
    }

    fn one(&self, state: &State, text: &str) -> Result<Wanted, Status> {
        let (view, feature) = text.split_once(':').ok_or_else(|| {
            Status::invalid_argument(format!("{text:?} is no feature: write view:feature"))
        })?;
        let view = find(state, view)
            .ok_or_else(|| Status::not_found(format!("there is no feature view {view:?}")))?;
        let place = view.features().iter().position(|each| each.name == feature);
        let feature = place.ok_or_else(|| {
            Status::not_found(format!("view {} has no feature {feature:?}", view.name()))
        })?;
        let keys = self.keys_of(&view)?;
        Ok(Wanted { view, feature, keys })
    }

    fn keys_of(&self, view: &FeatureView) -> Result<usize, Status> {
        let entity = view.entity();
        let column = entity.table().map_or("", |table| table.columns[0].name);
        let of = |name: &str| self.keys.iter().position(|keys| keys.name == name);
        of(column).or_else(|| of(entity.as_str())).ok_or_else(|| {
            let view = view.name();
            Status::invalid_argument(format!("view {view} needs entity column {column}"))
        })
    }

    fn refuse_same_names(&self, wanted: &[Wanted]) -> Result<(), Status> {
        let mut names = BTreeSet::new();
        for each in wanted {
            let name = each.name(self.full_names);
            if !names.insert(name.clone()) {
                return Err(Status::invalid_argument(format!(
                    "two features are called {name}: ask with full_feature_names"
                )));
            }
        }
        Ok(())
    }
}

impl Wanted {
    pub(super) fn name(&self, full: bool) -> String {
        let feature = &self.view.features()[self.feature].name;
        if full { format!("{}__{feature}", self.view.name()) } else { feature.clone() }
    }
}

fn find(state: &State, view: &str) -> Option<Arc<FeatureView>> {
    state.views.current(view).cloned()
}

/// A view is a service of its own; so is what an active model reads.
fn of_service(state: &State, name: &str) -> Result<Arc<FeatureView>, Status> {
    let of_model = || {
        let version = state.registry.active(name)?.version.clone();
        let record = state.models.get(&(name.to_owned(), version.clone()))?;
        state.views.of_model(&record.view, name, &version).cloned()
    };
    find(state, name).or_else(of_model).ok_or_else(|| {
        Status::not_found(format!("feature service {name:?} is neither a view nor an active model"))
    })
}

/// The column as numbers, where it is one.
pub(super) fn numbers(values: &[Value]) -> Option<Vec<f64>> {
    let number = |value: &Value| match value.val {
        Some(Val::DoubleVal(number)) => Some(number),
        Some(Val::FloatVal(number)) => Some(f64::from(number)),
        Some(Val::Int64Val(number)) => Some(number as f64),
        Some(Val::Int32Val(number)) => Some(f64::from(number)),
        Some(Val::BoolVal(truth)) => Some(f64::from(u8::from(truth))),
        _ => None,
    };
    values.iter().map(number).collect()
}

/// The text that a key stands for.
pub(super) fn key_text(value: &Value) -> String {
    match &value.val {
        Some(Val::StringVal(text)) => text.clone(),
        Some(Val::BytesVal(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(Val::Int32Val(number)) => number.to_string(),
        Some(Val::Int64Val(number) | Val::UnixTimestampVal(number)) => number.to_string(),
        Some(Val::DoubleVal(number)) => number.to_string(),
        Some(Val::FloatVal(number)) => number.to_string(),
        Some(Val::BoolVal(truth)) => truth.to_string(),
        Some(Val::NullVal(_)) | None => String::new(),
    }
}
