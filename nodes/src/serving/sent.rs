//! Values that come with a call, for the expressions of a view.

use features::FeatureView;

/// A row for each entity of the call, or one for all of them, in the order of [`FeatureView::request`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    width: usize,
    values: Vec<Option<f64>>,
}

/// A value's name and its numbers: one for each entity, or one for all.
pub(crate) type Column<'a> = (&'a str, Vec<f64>);

impl Sent {
    /// The error is one line for whoever sent it.
    pub(crate) fn of(
        view: &FeatureView,
        entities: usize,
        columns: &[Column<'_>],
    ) -> Result<Self, String> {
        if columns.is_empty() {
            return Ok(Self::default());
        }
        let width = view.request().len();
        let mut values = vec![None; width * entities];
        for (at, (name, numbers)) in columns.iter().enumerate() {
            let plain = |name: &&str| name.strip_prefix("request.").unwrap_or(name).to_owned();
            let name = plain(name);
            let place = view.request().iter().position(|value| value.name == name);
            let place = place.ok_or_else(|| unknown(view, &name))?;
            if columns.iter().take(at).any(|(other, _)| plain(other) == name) {
                return Err(format!("request value `{name}` is there twice"));
            }
            if ![1, entities].contains(&numbers.len()) {
                return Err(format!(
                    "request value `{name}` has {} numbers for {entities} entities: send one for each, or one for all",
                    numbers.len()
                ));
            }
            if let Some(odd) = numbers.iter().position(|number| !number.is_finite()) {
                return Err(format!("request value `{name}`, row {odd}: not a finite number"));
            }
            for (row, cells) in values.chunks_exact_mut(width).enumerate() {
                let number = numbers.get(row).or(numbers.first());
                if let Some(cell) = cells.get_mut(place) {
                    *cell = number.copied();
                }
            }
        }
        Ok(Self { width, values })
    }

    /// The values of one entity; none where nothing was sent.
    pub(crate) fn row(&self, at: usize) -> &[Option<f64>] {
        self.values.get(at * self.width..(at + 1) * self.width).unwrap_or(&[])
    }

    /// The values of these entities as another view takes them, by their names; what it does not know is
    /// left out. The error says what it needs beside.
    pub(crate) fn translated(
        &self,
        rows: &[usize],
        from: &FeatureView,
        to: &FeatureView,
    ) -> Result<Self, String> {
        let place = |name: &str| from.request().iter().position(|value| value.name == name);
        let places: Vec<_> = to.request().iter().map(|value| place(&value.name)).collect();
        let cells = rows.iter().flat_map(|row| {
            let row = self.row(*row);
            places.iter().map(move |place| row.get((*place)?).copied().flatten())
        });
        let sent = Self { width: places.len(), values: cells.collect() };
        sent.check(to).map(|()| sent)
    }

    /// Refuses a call that lacks a value for which the view has no default.
    pub(crate) fn check(&self, view: &FeatureView) -> Result<(), String> {
        let mut needed = view.request().iter().enumerate();
        let first = self.values.get(..self.width).unwrap_or(&[]);
        let lacking = needed.find(|(at, value)| {
            value.default.is_none() && first.get(*at).copied().flatten().is_none()
        });
        lacking.map_or(Ok(()), |(_, value)| {
            Err(format!(
                "view {} needs request value `{}`, which has no default: send it along",
                view.name(),
                value.name
            ))
        })
    }
}

fn unknown(view: &FeatureView, name: &str) -> String {
    let known: Vec<&str> = view.request().iter().map(|value| value.name.as_str()).collect();
    match known.as_slice() {
        [] => format!("view {} takes no request values, so not `{name}`", view.name()),
        known => {
            format!(
                "view {} has no request value `{name}`; it takes {}",
                view.name(),
                known.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> FeatureView {
        FeatureView::parse(
            "name = \"v\"\nentity = \"resident\"\nversion = 1\n\
             request = [{ name = \"visits\" }, { name = \"weight\", default = 2 }]\n\
             feature = [{ name = \"load\", expression = \"request.visits * request.weight\" }]",
        )
        .unwrap()
    }

    #[test]
    fn one_number_stands_for_all_and_others_for_their_row() {
        let columns = [("request.weight", vec![3.0]), ("visits", vec![1.0, 2.0])];
        let sent = Sent::of(&view(), 2, &columns).unwrap();
        assert_eq!(sent.row(0), [Some(1.0), Some(3.0)]);
        assert_eq!(sent.row(1), [Some(2.0), Some(3.0)]);
        assert!(sent.row(2).is_empty() && sent.check(&view()).is_ok());
        assert!(Sent::default().row(7).is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |columns: &[Column<'_>]| Sent::of(&view(), 2, columns).unwrap_err();
        assert!(said(&[("vists", vec![1.0])]).contains("it takes visits, weight"));
        assert!(said(&[("visits", vec![1.0; 3])]).contains("3 numbers for 2 entities"));
        assert!(said(&[("visits", vec![1.0, f64::NAN])]).contains("row 1: not a finite"));
        let twice = [("visits", vec![1.0]), ("request.visits", vec![1.0])];
        assert!(said(&twice).contains("twice"));
        let weight = Sent::of(&view(), 2, &[("weight", vec![1.0])]).unwrap();
        for sent in [weight, Sent::default()] {
            assert!(sent.check(&view()).unwrap_err().contains("needs request value `visits`"));
        }
    }
}
