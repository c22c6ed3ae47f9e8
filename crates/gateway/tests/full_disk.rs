//! A gateway that starts while nothing can be written serves what it can read, and writes once it can. A folder in the place of
//! a temporary file fails as a full disk does.

mod common;

use std::fs;

use common::*;

#[tokio::test]
async fn a_start_on_a_full_disk_serves_and_writes_later() {
    let stable = Instance::start("s1").await;
    let mut world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    world.kill_gateway().await;
    let folder = world.dir.path().join("gateway");
    let (admin, table_file) = (folder.join("admin.json"), folder.join("table.json"));
    fs::remove_file(&admin).unwrap();
    for file in ["admin.tmp", "table.tmp"] {
        fs::create_dir_all(folder.join(file).join("in the way")).unwrap();
    }
    let before = world.hub.gateways()[0].boot.clone();
    world.start_gateway();
    let hub = world.hub.clone();
    until("it comes back", || hub.gateways().into_iter().find(|g| g.boot != before && g.connected)).await;
    until("it listens", || std::net::TcpStream::connect(world.address).ok()).await;
    assert_eq!(world.get("/").await.body, "s1");

    // Of another shape, so that it is no change of what was written.
    world.publish(table(2, 5_000, &[&stable], &[&stable]).build()).await;
    assert!(!table_file.exists() && !admin.exists());
    for file in ["admin.tmp", "table.tmp"] {
        fs::remove_dir_all(folder.join(file)).unwrap();
    }
    until("all is written that could not be", || (table_file.exists() && admin.exists()).then_some(())).await;
}
