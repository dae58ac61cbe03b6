//! What the tests of every daemon need: a look at its numbers with the eyes of
//! Prometheus.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

use protocol::routes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Asks a running daemon for its numbers and has `promtool` look at them.
pub async fn scrape(address: SocketAddr) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            routes::METRICS
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange.await.map_err(|error| format!("no answer of {address}: {error}"))?;
    let (head, numbers) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if !head.starts_with("HTTP/1.1 200") || !head.contains("text/plain; version=0.0.4") {
        return Err(format!("not the numbers of a daemon: {head}"));
    }
    promtool_check(numbers)?;
    Ok(numbers.to_owned())
}

/// `promtool check metrics`; a remark of its is an error.
pub fn promtool_check(numbers: &str) -> Result<(), String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!(
                "cannot run promtool ({error}): it comes with the Debian package prometheus, \
                 `apt-get install --no-install-recommends prometheus`"
            )
        })?;
    // Small enough for the pipe, and closed by being dropped.
    let written = promtool.stdin.take().map(|mut stdin| stdin.write_all(numbers.as_bytes()));
    let output = promtool.wait_with_output().map_err(|error| error.to_string())?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    match written {
        Some(Ok(())) if output.status.success() && said.trim().is_empty() => Ok(()),
        _ => Err(format!("promtool: {said}\nin:\n{numbers}")),
    }
}
