//! Merges that were begun and have not ended.
//!
//! A merge changes a parent's content, and with it the parent's data id, by which its child knows it. So that a cut in the
//! middle loses neither, the parent takes the data id of the layer whose content it is being given, and a chain with such a
//! parent is opened: whatever the merge has reached, through that layer the same is read.

use std::sync::Arc;

use crate::disk::{Identity, Layer, LayerInfo, Linkage, ParentRef};
use crate::error::{Error, Result};

/// Whether `parent` is not as `recorded` by its child because one of the layers `above` is being merged into it.
pub(crate) fn is_merging(recorded: &ParentRef, parent: &LayerInfo, above: &[Arc<dyn Layer>]) -> bool {
    // What images bear that nobody has written to tells them from no others.
    let told = |id: &Identity| match id {
        Identity::Uuid(id) => !id.is_nil(),
        Identity::Cid(id) => *id < 0xffff_fffe,
    };
    let id = parent.data_id.filter(told);
    let guarded = matches!(recorded.linkage, Linkage::DataId(_)) && !recorded.linkage.matches(parent);
    guarded && id.is_some() && above.iter().any(|layer| layer.info().data_id == id)
}

/// Refuses to write to the top of `chain` while it is being merged into a parent: a write would change the data id by which that
/// parent is known.
pub(crate) fn check_not_merging(chain: &[Arc<dyn Layer>]) -> Result<()> {
    for pair in chain.windows(2) {
        let (child, parent) = (pair[0].info(), pair[1].info());
        if child.parent.as_ref().is_some_and(|recorded| is_merging(recorded, parent, &chain[..1])) {
            let parent = pair[1].files()[0].name();
            let reason = format!("its merge into {parent} has not ended, and does when it is run again");
            return Err(Error::NotWritable { file: chain[0].files()[0].name().to_owned(), reason });
        }
    }
    Ok(())
}
