//! `status`: the whole fleet at a glance.

use protocol::operation::{Operation, QueenOperation, Status};

use super::{Cx, Wanted, exit::Outcome, operate};

/// `status`
pub async fn status(cx: &mut Cx) -> Outcome {
    let operation = QueenOperation::from(Status::default());
    operate(cx, Operation::from(operation), Wanted::Running).await
}
