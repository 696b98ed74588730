//! Models fitted by linfa: their families, their file, and how they answer.
//!
//! linfa fits; what is kept and evaluated are flat arrays, in the order of the features. Rows are
//! standardised before a fit where scale matters, and the result is turned back for rows as they are.

mod bayes;
mod body;
mod family;
mod file;
mod first_file;
mod fit;
mod grow;
mod linear;
mod measure;
mod model;
mod shapes;
mod table;
mod trees;

pub use family::{Family, Settings};
pub use fit::{fit, fit_logistic};
pub use measure::{Measure, measure};
pub use model::LinfaModel;
pub use table::{Table, Target};
pub use trees::Trees;

/// What wrote the fits of this build.
const LINFA_VERSION: &str = "0.8.1";
