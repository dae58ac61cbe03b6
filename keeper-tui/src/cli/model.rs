//! `model …`: models on the disks of the fleet.

use protocol::operation::{
    HiveOperation, ModelDelete, ModelDownload, ModelGet, ModelList, Operation,
};

use super::{Cx, Wanted, args::Model, exit::Outcome, operate, plan};

/// `model …`
pub async fn model(cx: &mut Cx, command: Model) -> Outcome {
    let (operation, wanted): (HiveOperation, _) = match command {
        Model::Download { model, hive, revision } => {
            (ModelDownload { hive_id: hive, model, revision }.into(), Wanted::Started)
        }
        Model::List { hive } => (ModelList { hive_id: hive }.into(), Wanted::Running),
        Model::Get(it) => {
            (ModelGet { hive_id: it.hive, id: it.id, hub: false }.into(), Wanted::Running)
        }
        Model::Delete { model, confirm } => {
            // What took an hour to fetch is not deleted by a slip of the hand.
            let question = format!("Delete the files of {}?", model.id);
            cx.confirm_delete(&question, &model.id, confirm.as_ref()).await?;
            (ModelDelete { hive_id: model.hive, id: model.id }.into(), Wanted::Running)
        }
        Model::Plan { model, hive, slots, context_length } => {
            return plan::plan(cx, model, hive, slots, context_length).await;
        }
    };
    operate(cx, Operation::from(operation), wanted).await
}
