//! `model …`: models on the disks of the fleet.

use protocol::{
    ModelRef,
    operation::{HiveOperation, ModelDelete, ModelDownload, ModelGet, ModelList, Operation},
};

use super::{
    Cx, Wanted,
    args::Model,
    exit::{Failure, Outcome},
    operate, plan,
    question::{Answered, Usually},
};

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
            confirm_delete(cx, &model.id, confirm.as_ref()).await?;
            (ModelDelete { hive_id: model.hive, id: model.id }.into(), Wanted::Running)
        }
        Model::Plan { model, hive, slots, context_length } => {
            return plan::plan(cx, model, hive, slots, context_length).await;
        }
    };
    operate(cx, Operation::from(operation), wanted).await
}

/// What took an hour to fetch is not deleted by a slip of the hand.
async fn confirm_delete(cx: &mut Cx, id: &ModelRef, confirm: Option<&ModelRef>) -> Outcome<()> {
    match confirm {
        Some(confirmed) if confirmed == id => return Ok(()),
        Some(confirmed) => {
            let message = format!("--confirm: {confirmed} is not {id}");
            return Err(Failure::usage(message).with_hint("nothing was deleted").into());
        }
        None => {}
    }
    let question = format!("Delete the files of {id}?");
    match cx.ask(&question, Usually::No).await? {
        Answered::Yes => Ok(()),
        Answered::No => {
            Err(Failure::usage("not confirmed").with_hint("nothing was deleted").into())
        }
        Answered::Nobody => {
            let message = format!("deleting {id} needs a confirmation and stdin is not a terminal");
            Err(Failure::usage(message).with_hint(format!("add --confirm {id}")).into())
        }
    }
}
