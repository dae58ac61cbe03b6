//! `hive …`: the machines.

use protocol::operation::{
    HiveGet, HiveList, HiveRefreshCapabilities, HiveStart, HiveStatus, HiveStop, Operation,
    QueenOperation,
};

use super::{Cx, Wanted, args::Hive, exit::Outcome, notice, operate};

/// `hive …`
pub async fn hive(cx: &mut Cx, command: Hive) -> Outcome {
    let (operation, wanted): (QueenOperation, _) = match command {
        Hive::Start(hive) => {
            notice::before_hive(cx, &hive.alias).await?;
            (HiveStart { alias: hive.alias }.into(), Wanted::Started)
        }
        Hive::Stop(hive) => (HiveStop { alias: hive.alias }.into(), Wanted::Running),
        Hive::Status(hive) => (HiveStatus { alias: hive.alias }.into(), Wanted::Running),
        Hive::Refresh(hive) => {
            (HiveRefreshCapabilities { alias: hive.alias }.into(), Wanted::Running)
        }
        Hive::List => (HiveList::default().into(), Wanted::Running),
        Hive::Get(hive) => (HiveGet { alias: hive.alias }.into(), Wanted::Running),
    };
    operate(cx, Operation::from(operation), wanted).await
}
