//! To another version of a stack's template: three-way, with the person's own edits kept.

use drover_api::{FieldError, MergeChange, MergeConflict, MergeSide, UpgradePreview, UpgradeStack};
use drover_compose::Side;
use indexmap::IndexMap;

use super::{
    compile,
    model::{Revision, StackRow},
    store::NewRevision,
};
use crate::{
    app::App,
    catalog,
    error::{Error, Result},
};

/// An upgrade worked out, with what it needs to become a revision.
pub(super) struct Worked {
    pub preview: UpgradePreview,
    pub answers: Option<catalog::Answers>,
    pub template_compose: String,
}

/// Works out what an upgrade would change.
pub(super) async fn work_out(
    app: &App,
    row: &StackRow,
    revision: &Revision,
    input: &UpgradeStack,
) -> Result<Worked> {
    let (Some(catalog_id), Some(template)) = (row.catalog_id, &row.template) else {
        return Err(Error::conflict("no_template", "This stack did not come from a catalog."));
    };
    let newer = catalog::resolve(&app.db, catalog_id, template, &input.version)
        .await?
        .ok_or_else(|| Error::invalid_field("version", "The template has no such version."))?;
    if let Some(why) = &newer.incompatible {
        return Err(Error::conflict("incompatible_version", why));
    }
    let installed = revision.template_version.as_deref().unwrap_or_default();
    if !catalog::can_upgrade(installed, &input.version, newer.upgrade_from.as_deref()) {
        let from = newer.upgrade_from.map_or(String::new(), |from| format!(" (it takes {from})"));
        return Err(Error::conflict(
            "no_upgrade_path",
            format!(
                "{installed} cannot be upgraded to {} in one step{from}. Upgrade to a version between, or roll back.",
                input.version
            ),
        ));
    }
    let resolutions = input
        .resolutions
        .iter()
        .map(|(path, side)| {
            let side = match side {
                MergeSide::Ours => Side::Ours,
                MergeSide::Theirs => Side::Theirs,
            };
            (path.clone(), side)
        })
        .collect();
    let base = revision.template_compose.as_deref().unwrap_or(&revision.compose);
    let merge = drover_compose::merge3(base, &revision.compose, &newer.compose, &resolutions)
        .map_err(|found| Error::conflict("compose_invalid", found.message))?;
    let previous = compile::variables(app, revision)?;
    let checked = catalog::check_answers(&newer.questions, &input.answers, Some(&previous));
    let (answers, errors) = match checked {
        Ok(mut answers) => {
            // Of variables that no question asks for, only the stack knows which are secret.
            let values = &answers.values;
            let own = revision.secret_names.iter().filter(|name| values.contains_key(*name));
            answers.secret.extend(own.cloned());
            (Some(answers), Vec::new())
        }
        Err(errors) => (None, errors),
    };
    let diff =
        merge.text.as_ref().map(|text| drover_compose::unified_diff(&revision.compose, text));
    let preview = UpgradePreview {
        from_version: revision.template_version.clone().unwrap_or_default(),
        to_version: input.version.clone(),
        compose: merge.text,
        diff,
        changes: merge
            .changes
            .into_iter()
            .map(|change| MergeChange { path: change.path, from: change.from, to: change.to })
            .collect(),
        conflicts: merge
            .conflicts
            .into_iter()
            .map(|conflict| MergeConflict {
                path: conflict.path,
                base: conflict.base,
                ours: conflict.ours,
                theirs: conflict.theirs,
            })
            .collect(),
        errors,
        notes: newer.notes,
    };
    Ok(Worked { preview, answers, template_compose: newer.compose })
}

impl Worked {
    /// The revision to make, or what is in the way.
    pub fn into_revision(self, app: &App, version: &str) -> Result<NewRevision> {
        let Some(compose) = self.preview.compose else {
            let fields = self
                .preview
                .conflicts
                .iter()
                .map(|conflict| {
                    FieldError::new(
                        format!("resolutions.{}", conflict.path),
                        "You and the new version have both changed this: choose a side.",
                    )
                })
                .collect();
            return Err(Error::conflict(
                "merge_conflicts",
                "Your own edits and the new version conflict: choose a side for each.",
            )
            .with_errors(fields));
        };
        let answers = self.answers.ok_or_else(|| Error::invalid(self.preview.errors))?;
        let (variables, secret_variables, secret_names) = seal(app, answers)?;
        Ok(NewRevision {
            compose,
            variables,
            secret_variables,
            secret_names,
            template_version: Some(version.to_owned()),
            template_compose: Some(self.template_compose),
            comment: format!("Upgrade to {version}"),
        })
    }
}

/// Variables that may be read, those that are sealed, and the names of the sealed ones.
pub(super) type Sealed = (IndexMap<String, String>, Option<Vec<u8>>, Vec<String>);

/// Splits answers into what may be read and what is sealed.
pub(super) fn seal(app: &App, answers: catalog::Answers) -> Result<Sealed> {
    let (mut open, mut secret) = (IndexMap::new(), IndexMap::new());
    for (name, value) in answers.values {
        if answers.secret.contains(&name) {
            secret.insert(name, value);
        } else {
            open.insert(name, value);
        }
    }
    let names = secret.keys().cloned().collect();
    let sealed = if secret.is_empty() {
        None
    } else {
        Some(app.cipher.seal(&serde_json::to_vec(&secret).map_err(Error::internal)?))
    };
    Ok((open, sealed, names))
}
