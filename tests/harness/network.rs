//! A network of a machine's own: a namespace with one cable to this one.

use std::{
    net::Ipv4Addr,
    process::{Command, Output},
    sync::atomic::{AtomicU8, Ordering},
};

use anyhow::{Context as _, ensure};

/// See the module. It is gone when it is dropped.
pub struct Network {
    /// The namespace, and the near end of the cable.
    name: String,
    address: Ipv4Addr,
}

impl Network {
    /// Lays one; or says why this machine does not let us.
    pub fn lay() -> Result<Self, String> {
        static LAID: AtomicU8 = AtomicU8::new(0);
        let number = LAID.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let name = format!("rbee{}n{number}", process % 1_000_000);
        // Few look at this part of 10/8, and two tests at once differ.
        let [_, second, third, fourth] = (process << 8).to_be_bytes();
        let third = third.wrapping_add(second).wrapping_add(fourth);
        let net = number.wrapping_mul(4);
        let (near, far) =
            (Ipv4Addr::new(10, 213, third, net + 1), Ipv4Addr::new(10, 213, third, net + 2));
        ip(&["netns", "add", &name])?;
        let network = Self { name: name.clone(), address: far };
        let there = ["-n", name.as_str()];
        ip(&["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        ip(&["addr", "add", &format!("{near}/30"), "dev", &name])?;
        ip(&["link", "set", &name, "up"])?;
        ip(&[&there[..], &["addr", "add", &format!("{far}/30"), "dev", "eth0"]].concat())?;
        ip(&[&there[..], &["link", "set", "eth0", "up"]].concat())?;
        ip(&[&there[..], &["link", "set", "lo", "up"]].concat())?;
        Ok(network)
    }

    /// Where the machine is reached.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Something that runs in it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Pulls the cable, or puts it in again.
    pub fn plug(&self, is_plugged: bool) -> anyhow::Result<()> {
        let state = if is_plugged { "up" } else { "down" };
        ip(&["link", "set", &self.name, state]).map_err(anyhow::Error::msg)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The namespace itself lasts as long as a process in it.
        let _ = ip(&["link", "del", &self.name]);
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let said = |output: Output| -> anyhow::Result<()> {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(output.status.success(), stderr);
        Ok(())
    };
    let done = Command::new("ip").args(args).output().context("no iproute2");
    done.and_then(said).map_err(|error| format!("`ip {}`: {error:#}", args.join(" ")))
}
