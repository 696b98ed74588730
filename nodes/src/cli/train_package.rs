//! The package of a fitted model: manifest, model file, golden rows and card.

use super::output::Failure;
use super::train::{TrainArgs, Trained, refused};
use models::{Family, Format, LinfaModel, Manifest, Measure, Model, Target};
use std::fmt::Write as _;

/// Rows whose answers are kept beside the model.
const GOLDEN_ROWS: usize = 64;
/// How far a number may lie from its golden one on another machine, in parts of the largest.
const TOLERANCE: f64 = 1e-6;

/// Everything is made before anything is written.
pub(super) fn write(args: &TrainArgs, trained: &Trained) -> anyhow::Result<()> {
    let mut manifest = manifest(args, trained)?;
    let bytes = trained.model.to_bytes().map_err(refused)?;
    let model = LinfaModel::load_as(&bytes, &manifest.layout()).map_err(refused)?;
    let (golden, largest) = golden(&model, trained)?;
    manifest.golden.tolerance = TOLERANCE * largest.max(1.0);
    let files = [
        ("manifest.toml", manifest.to_toml().map_err(refused)?.into_bytes()),
        (Format::Linfa.file(), bytes),
        ("golden.csv", golden.into_bytes()),
        ("card.md", card(args, trained).into_bytes()),
    ];
    let files = files.map(|(name, content)| (name.to_owned(), content));
    let package = models::Package::from_files(files.into_iter().collect()).map_err(refused)?;
    package.write_dir(&args.out).map_err(refused)?;
    Ok(())
}

fn manifest(args: &TrainArgs, trained: &Trained) -> Result<Manifest, Failure> {
    let mut manifest = Manifest::bare(&args.name, &args.version, Format::Linfa).map_err(refused)?;
    manifest.author.clone_from(&args.author);
    manifest.intended_use.clone_from(&args.intended_use);
    manifest.output.class.clone_from(&args.class);
    manifest.output.score = match args.family {
        Family::KMeans => Some("distance".into()),
        Family::Pca => Some("residual".into()),
        _ => None,
    };
    // Without a view the model takes rows from its caller; the file itself knows their columns.
    if args.view.is_empty() {
        return Ok(manifest);
    }
    let classes = trained.model.class_names();
    if classes.len() > 2 && args.class.is_none() {
        return Err(Failure::refused(format!(
            "a model over a view has one score: name the class that it is the probability of with --class, one of {}",
            classes.join(", ")
        )));
    }
    manifest.entity.clone_from(&args.entity);
    manifest.view.clone_from(&args.view);
    manifest.features = trained.train.names().to_vec();
    Ok(manifest)
}

/// Rows with the score, or with every probability where no class is the score; and the largest of
/// the numbers.
fn golden(model: &LinfaModel, trained: &Trained) -> Result<(String, f64), Failure> {
    let width = trained.test.width();
    let n = trained.test.len().min(GOLDEN_ROWS);
    let rows = &trained.test.rows()[..n * width];
    let (heads, values) = if model.has_score() {
        (vec!["score".to_owned()], model.score(rows, n).map_err(refused)?)
    } else {
        let input = models::Tensor::new(
            "features",
            [n as i64, width as i64],
            models::Data::Fp32(rows.to_vec()),
        );
        let wanted = ["probabilities".to_owned()];
        let answers = model.infer(&[input.map_err(refused)?], &wanted).map_err(refused)?;
        let models::Data::Fp32(values) = &answers[0].data else {
            return Err(Failure::refused("the model's probabilities are of another type"));
        };
        let heads = 0..model.class_names().len();
        (heads.map(|at| format!("probabilities[{at}]")).collect(), values.clone())
    };
    let mut text = format!("{},{}\n", trained.test.names().join(","), heads.join(","));
    for (row, answers) in rows.chunks_exact(width).zip(values.chunks_exact(heads.len())) {
        let cells: Vec<String> = row.iter().chain(answers).map(ToString::to_string).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    Ok((text, values.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max)))
}

fn card(args: &TrainArgs, trained: &Trained) -> String {
    let Trained { model, train, test, measures, log_index } = trained;
    let mut text = format!("# {} {}\n\n", args.name, args.version);
    let intended = match args.intended_use.as_str() {
        "" => {
            "Intended use: **not written yet**. Say here and in manifest.toml what it is for, and what it must not decide."
        }
        said => said,
    };
    let _ = writeln!(text, "{intended}\n");
    let (family, version) = (model.family(), model.linfa_version());
    let _ = writeln!(text, "Family `{family}`, fitted by linfa {version} by {}.\n", args.author);
    let _ = writeln!(text, "## Data\n\n```sql\n{}\n```\n", args.asked.trim());
    let (rows, held) = (train.len(), if args.holdout > 0.0 { test.len() } else { 0 });
    let _ = writeln!(
        text,
        "State of log index {log_index}: {rows} rows to fit on, {held} held out (share {}, seed {}).",
        args.holdout, args.seed
    );
    if !args.label.is_empty() {
        let _ = write!(text, "Label `{}`", args.label);
        if let Target::Classes { names, of_row } = train.target() {
            let share = |class: usize| {
                let of_class = of_row.iter().filter(|each| **each == class).count();
                format!("{} {:.1} %", names[class], 100.0 * of_class as f64 / rows as f64)
            };
            let shares: Vec<String> = (0..names.len()).map(share).collect();
            let _ = write!(text, ": {}", shares.join(", "));
        }
        let _ = writeln!(text, ".");
    }
    let _ = writeln!(text, "\nSettings: {}.\n", settings_of(args));
    let measured = if held > 0 {
        "rows that it has not seen"
    } else {
        "its own training rows, which flatters"
    };
    let _ = writeln!(text, "## Measured on {measured}\n\n| | |\n|---|---|");
    for Measure { name, value } in measures {
        let _ = writeln!(text, "| {name} | {value:.4} |");
    }
    let _ = writeln!(text, "\n## Features\n\n| feature | mean |{}", weights_head(model));
    let _ = writeln!(text, "|---|---|{}", if model.intercepts().len() == 1 { "---|" } else { "" });
    for (at, (name, mean)) in model.feature_names().iter().zip(model.means()).enumerate() {
        let weight = match model.intercepts() {
            [_] => format!(" {:.6} |", model.weights()[at]),
            _ => String::new(),
        };
        let _ = writeln!(text, "| `{name}` | {mean:.4} |{weight}");
    }
    text.push_str(
        "\ngolden.csv holds rows of the data with the model's answers, without keys: treat it as the data.\n\n\
         ## Limits\n\nWhat the query leaves out, the model does not know. Measure both kinds of error by group on \
         reviewed cases before use, and fit it again when the world changes.\n",
    );
    text
}

fn weights_head(model: &LinfaModel) -> &'static str {
    if model.intercepts().len() == 1 { " weight |" } else { "" }
}

fn settings_of(args: &TrainArgs) -> String {
    let all = args.settings();
    match args.family {
        Family::Logistic => format!("l2 {}", all.l2),
        Family::ElasticNet => format!("penalty {}, l1_ratio {}", all.penalty, all.l1_ratio),
        Family::Tree => format!("max_depth {}, min_leaf {}", all.max_depth, all.min_leaf),
        Family::Forest => format!(
            "trees {}, max_depth {}, min_leaf {}, feature_share {}, seed {}",
            all.trees, all.max_depth, all.min_leaf, all.feature_share, all.seed
        ),
        Family::KMeans => format!("clusters {}, seed {}", all.clusters, all.seed),
        Family::Pca => format!("components {}", all.components),
        Family::Linear | Family::Bayes => "none".into(),
    }
}
