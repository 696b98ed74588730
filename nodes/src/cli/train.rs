//! `hearth train`: a model by linfa from the answer of a query, as a package to be pushed.

use super::args::Remote;
use super::output::Failure;
use super::sql::{connect, failure};
use super::{train_package, train_table, train_view};
use crate::rendering::to_answer;
use clap::Args;
use models::{Family, LinfaModel, Measure, Settings, Table};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// SELECT of the features, in order, and of the label; left out where there are --rows
    #[arg(required_unless_present = "rows", conflicts_with = "rows")]
    query: Option<String>,
    /// What is asked of the cluster.
    #[arg(skip)]
    pub(super) asked: String,
    /// With --view: SELECT of the entity's key, a time and the label. The features are those of the view
    /// as they were at that time (`features_at`)
    #[arg(long, requires = "view")]
    rows: Option<String>,
    /// logistic, linear, elastic-net, tree, forest, k-means, bayes or pca
    #[arg(long, default_value_t = Family::Logistic)]
    pub(super) family: Family,
    /// The column that is learned: a class or, for linear and elastic-net, a number; k-means and pca take none
    #[arg(long, default_value = "")]
    pub(super) label: String,
    #[arg(long)]
    pub(super) name: String,
    #[arg(long, default_value = "1")]
    pub(super) version: String,
    /// A feature view of the cluster whose row the model reads; the columns must be its features
    #[arg(long, default_value = "")]
    pub(super) view: String,
    /// What a row is about; empty for the view's own entity
    #[arg(long, default_value = "")]
    pub(super) entity: String,
    /// The class whose probability is the score; of two classes it is the second
    #[arg(long)]
    pub(super) class: Option<String>,
    /// What the model is for, as its card and manifest say it
    #[arg(long, default_value = "")]
    pub(super) intended_use: String,
    /// Who fits it
    #[arg(long, env = "USER", default_value = "operator")]
    pub(super) author: String,
    /// The share of the rows that is held out to measure the model; 0 measures on the training rows
    #[arg(long, default_value_t = 0.2)]
    pub(super) holdout: f64,
    /// Of the split, the forest and k-means
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    #[command(flatten)]
    pub(super) knobs: Knobs,
    /// The folder that the package is written to
    #[arg(long)]
    pub(super) out: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

/// What can be set about a family.
#[derive(Debug, Args)]
pub(crate) struct Knobs {
    /// logistic: strength of the L2 penalty
    #[arg(long, default_value_t = Settings::default().l2)]
    l2: f64,
    /// elastic-net: strength of the penalty, features and label standardised
    #[arg(long, default_value_t = Settings::default().penalty)]
    penalty: f64,
    /// elastic-net: the share of the penalty that is absolute
    #[arg(long, default_value_t = Settings::default().l1_ratio)]
    l1_ratio: f64,
    /// tree, forest: levels of questions
    #[arg(long, default_value_t = Settings::default().max_depth)]
    max_depth: usize,
    /// tree, forest: rows that a leaf holds at least
    #[arg(long, default_value_t = Settings::default().min_leaf)]
    min_leaf: usize,
    /// forest
    #[arg(long, default_value_t = Settings::default().trees)]
    trees: usize,
    /// forest: the share of the features that each tree may ask
    #[arg(long, default_value_t = Settings::default().feature_share)]
    feature_share: f64,
    /// k-means
    #[arg(long, default_value_t = Settings::default().clusters)]
    clusters: usize,
    /// pca
    #[arg(long, default_value_t = Settings::default().components)]
    components: usize,
}

impl TrainArgs {
    pub(super) fn settings(&self) -> Settings {
        let Knobs { l2, penalty, l1_ratio, max_depth, min_leaf, .. } = self.knobs;
        let Knobs { trees, feature_share, clusters, components, .. } = self.knobs;
        let seed = self.seed;
        Settings {
            l2,
            penalty,
            l1_ratio,
            max_depth,
            min_leaf,
            trees,
            feature_share,
            clusters,
            components,
            seed,
        }
    }
}

/// What was fitted, and on what.
pub(super) struct Trained {
    pub(super) model: LinfaModel,
    pub(super) train: Table,
    /// The rows that it was measured on: held out, or the training rows where none were.
    pub(super) test: Table,
    pub(super) measures: Vec<Measure>,
    pub(super) log_index: u64,
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
pub(super) fn refused(error: impl ToString) -> Failure {
    Failure::refused(error.to_string())
}

pub(crate) async fn run(mut args: TrainArgs) -> anyhow::Result<()> {
    if args.family.has_label() == args.label.is_empty() {
        let said = if args.family.has_label() {
            format!("family {} learns from a label: name its column with --label", args.family)
        } else {
            format!("family {} takes no label: leave --label out", args.family)
        };
        return Err(Failure::usage(said).into());
    }
    if !(0.0..1.0).contains(&args.holdout) {
        return Err(Failure::usage("--holdout must be at least 0 and below 1").into());
    }
    args.asked = match &args.rows {
        Some(rows) => {
            let view = args.view.replace('\'', "''");
            format!("SELECT * FROM features_at('{view}', (\n{rows}\n))")
        }
        None => args.query.clone().unwrap_or_default(),
    };
    let answered =
        connect(&args.remote).await?.query(&args.asked).await.map_err(|error| failure(&error))?;
    let log_index = answered.log_index.unwrap_or(0);
    let mut answer = to_answer(&answered.schema, &answered.batches, log_index, 0)?;
    if args.rows.is_some() {
        train_table::without_keys(&mut answer);
    }
    let table = train_table::of(&answer, args.family, &args.label)?;
    if !args.view.is_empty() {
        let view = train_view::find(&args.remote, &args.view, table.names()).await?;
        if args.entity.is_empty() {
            args.entity = view.entity;
        }
    }
    let (train, test) = if args.holdout > 0.0 {
        table.split(args.holdout, args.seed).map_err(refused)?
    } else {
        (table.clone(), table)
    };
    let model = models::fit(args.family, &train, &args.settings()).map_err(refused)?;
    let measures = models::measure(&model, &test).map_err(refused)?;
    let trained = Trained { model, train, test, measures, log_index };
    train_package::write(&args, &trained)?;
    let measured = if args.holdout > 0.0 { "held out" } else { "the training rows themselves" };
    println!(
        "{}: {} of {} features on {} rows at log index {log_index}; on {} rows ({measured}):",
        args.out.display(),
        args.family,
        trained.train.width(),
        trained.train.len(),
        trained.test.len(),
    );
    for Measure { name, value } in &trained.measures {
        println!("  {name}: {value:.4}");
    }
    println!("push it with `hearth model push {}`", args.out.display());
    Ok(())
}
